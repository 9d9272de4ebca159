#!/usr/bin/env node
import { callbackAgent } from '../link/callback.ts';
import { unixTransport } from '../link/unix.ts';
import { CID_HOST, vsockTransport } from '../link/vsock.ts';
import { Agent } from './agent.ts';
import { readAgentConfig } from './config.ts';

/** `cocos-agent`: the one service of the guest; started by its init, or by the manager in process mode. */
const config = readAgentConfig(process.env);
const transport =
  config.mode === 'guest' ? await callbackAgent(vsockTransport(CID_HOST)) : unixTransport(config.socketDir);
const agent = new Agent(config, transport, () => process.exit(0));
process.once('SIGTERM', () => agent.request({ type: 'agent.shutDown' }));
agent.start();
