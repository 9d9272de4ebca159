#!/usr/bin/env node
import { unixTransport } from '../link/transport/unix.ts';
import { CID_HOST, vsockTransport } from '../link/transport/vsock.ts';
import { callbackAgent } from '../link/wire/callback.ts';
import { exitOnFault } from '../runtime/fault.ts';
import { mayRun } from '../runtime/program-arguments.ts';
import { Agent, GUEST_PROGRAM } from './agent.ts';
import { readAgentConfig } from './config.ts';
import { openGuestTpm } from './evidence/tpm/guest-tpm.ts';

/** `cocos-agent`: the one service of the guest; started by its init, or by the manager in process mode. */
async function main(): Promise<void> {
  // Its output reaches the host, and a thrown value may hold text that an algorithm chose.
  exitOnFault(({ code }) => console.error(`${code}: the agent ends because of a fault of its program`));
  const config = readAgentConfig(process.env);
  const transport =
    config.mode === 'guest' ? await callbackAgent(vsockTransport(CID_HOST)) : unixTransport(config.socketDir);
  const vtpm = config.mode === 'guest' ? await openGuestTpm(GUEST_PROGRAM) : null;
  const agent = new Agent(config, transport, vtpm, () => process.exit(0));
  process.once('SIGTERM', () => agent.request({ type: 'agent.shutDown' }));
  agent.start();
}

const HELP = ['The one service of an enclave. The manager starts it, or the init of the guest.'];

if (mayRun('cocos-agent', HELP, process.argv.slice(2))) {
  main().catch((thrown: unknown) => {
    console.error(thrown);
    process.exitCode = 1;
  });
}
