import { chmod, mkdir, rm } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { Server, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { CocosError } from '../errors.ts';
import { type Address, grpcTarget, serverCredentials, type TlsFiles } from './address.ts';

const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const CLOSE_LIMIT_MS = 2_000;

interface BindOptions {
  readonly address: Address;
  readonly tls: TlsFiles;
  readonly services: readonly {
    readonly definition: ServiceDefinition;
    readonly handlers: UntypedServiceImplementation;
  }[];
}

export interface Bound {
  /** The address, with the actual port if port 0 was requested. */
  readonly address: string;
  close(): Promise<void>;
}

/** Opens a gRPC server. @throws CocosError HOST_PORT_TAKEN if the address is in use */
export async function bindServer(options: BindOptions): Promise<Bound> {
  const { address } = options;
  const server = new Server({ 'grpc.max_receive_message_length': MAX_MESSAGE_BYTES, 'grpc.so_reuseport': 0 });
  for (const { definition, handlers } of options.services) server.addService(definition, handlers);
  if (address.kind === 'unix') await makeRoom(address.path);
  const credentials = serverCredentials(address, options.tls);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(grpcTarget(address), credentials, (cause, bound) =>
      cause === null
        ? resolve(bound)
        : reject(
            new CocosError(
              'HOST_PORT_TAKEN',
              `Cannot listen at '${grpcTarget(address)}': it is in use, or not an address of this machine.`,
              {
                cause,
              },
            ),
          ),
    );
  });
  if (address.kind === 'unix') await chmod(address.path, 0o600);
  return {
    address: address.kind === 'unix' ? `unix:${address.path}` : `${address.kind}:${address.host}:${port}`,
    close: async () => {
      await shutDown(server);
      if (address.kind === 'unix') await rm(address.path, { force: true });
    },
  };
}

/** Ends open calls after a grace period, so that a client that never ends its call cannot keep the process alive. */
function shutDown(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, CLOSE_LIMIT_MS);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Removes a socket file without a listener: a process that died left it behind. */
async function makeRoom(file: string): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const answered = await new Promise<boolean>((resolve) => {
    const probe = net.connect({ path: file });
    probe.once('connect', () => resolve(true)).once('error', () => resolve(false));
    probe.once('close', () => undefined).unref();
    probe.once('connect', () => probe.destroy());
  });
  if (answered)
    throw new CocosError(
      'HOST_PORT_TAKEN',
      `Another process listens at '${file}'; stop it or choose another address.`,
    );
  await rm(file, { force: true });
}
