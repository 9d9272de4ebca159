#!/usr/bin/env node
import { unixTransport } from '../link/transport/unix.ts';
import { CID_HOST, vsockTransport } from '../link/transport/vsock.ts';
import { callbackAgent } from '../link/wire/callback.ts';
import { exitOnFault } from '../runtime/fault.ts';
import { mayRun } from '../runtime/program-arguments.ts';
import { Agent } from './agent.ts';
import { GUEST_PROGRAM, readAgentConfig } from './config.ts';
import { openGuestTpm } from './evidence/tpm/guest-tpm.ts';
import { exitAtStart, reportFault } from './fault.ts';

/** `cocos-agent`: the only service of the guest. The guest's init starts it, or the manager in process mode. */
async function main(): Promise<void> {
  exitOnFault(reportFault);
  const config = readAgentConfig(process.env);
  const transport =
    config.mode === 'guest' ? await callbackAgent(vsockTransport(CID_HOST)) : unixTransport(config.socketDir);
  const vtpm = config.mode === 'guest' ? await openGuestTpm(GUEST_PROGRAM) : null;
  const agent = new Agent(config, transport, vtpm, () => process.exit(0));
  process.once('SIGTERM', () => agent.stop());
  agent.start();
}

const HELP = ["The only service of an enclave. The manager starts it, or the guest's init."];

if (mayRun('cocos-agent', HELP, process.argv.slice(2))) {
  main().catch(exitAtStart);
}
