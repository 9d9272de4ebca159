import type net from 'node:net';
import { grpcTarget } from '../../rpc/address.ts';
import { openGrpcDoor } from './grpc-door.ts';
import { parseRelayAddress } from './relay-address.ts';
import { dialRelay } from './relay-dial.ts';

/** How the agent of an enclave is reached. */
export interface AgentRoute {
  /** For gRPC, in the format of its library. */
  readonly target: string;
  /** A new connection for a bulk stream. @throws CocosError AGENT_UNAVAILABLE */
  dial(): Promise<net.Socket>;
  close(): Promise<void>;
}

/**
 * The route that an address names.
 *
 * @param relay `unix:/path`, `tcp:127.0.0.1:port`, or `tcp:host:port/enclave` and `tls:host:port/enclave`
 * @param environment where proxies and certificate authorities are named
 * @throws CocosError CONFIG_INVALID, AGENT_UNAVAILABLE
 */
export async function openRoute(relay: string, environment: NodeJS.ProcessEnv): Promise<AgentRoute> {
  const address = parseRelayAddress(relay);
  const dial = () => dialRelay(address, environment);
  if (address.kind !== 'gateway')
    return { target: grpcTarget(address), dial, close: () => Promise.resolve() };
  const door = await openGrpcDoor(address, environment);
  return { target: `unix:${door.path}`, dial, close: door.close };
}
