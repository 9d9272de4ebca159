import path from 'node:path';
import { defaultRunDir, parseAddress, type TlsFiles } from '../rpc/address.ts';
import { ControlClient } from '../rpc/control-client.ts';
import type { CommandContext } from './command-context.ts';

/** Connects to the manager that the options or the environment name, and closes the connection afterwards. */
export async function withManager<T>(
  { globals, environment }: CommandContext,
  run: (client: ControlClient) => Promise<T>,
): Promise<T> {
  const tls: TlsFiles = {
    certificate: globals.tlsCert ?? environment['COCOSAI_TLS_CERT'],
    key: globals.tlsKey ?? environment['COCOSAI_TLS_KEY'],
    authority: globals.tlsCa ?? environment['COCOSAI_TLS_CA'],
  };
  const runDir = environment['COCOSAI_RUN_DIR'] ?? defaultRunDir(environment);
  const address =
    globals.manager ?? environment['COCOSAI_MANAGER'] ?? `unix:${path.join(runDir, 'manager.sock')}`;
  const client = new ControlClient(parseAddress(address), tls);
  try {
    return await run(client);
  } finally {
    client.close();
  }
}
