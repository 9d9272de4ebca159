import { CocosError } from '../../errors.ts';
import { type Address, parseAddress } from '../../rpc/address.ts';

/** How an agent is reached: by the relay on this machine, or by the gateway of its host. */
export type RelayAddress =
  | Exclude<Address, { readonly kind: 'tls' }>
  | {
      readonly kind: 'gateway';
      readonly tls: boolean;
      readonly host: string;
      readonly port: number;
      readonly enclave: string;
    };

const GATEWAY = /^(tcp|tls):(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]{1,253}):(\d{1,5})\/([a-z0-9]{4,16})$/;

/** Whether a text is the address of an enclave behind a gateway. */
export function isGatewayAddress(text: string): boolean {
  return GATEWAY.test(text);
}

/**
 * Plain TCP is enough for a gateway on another machine: what passes through it is sealed to the agent's key.
 *
 * @param text `unix:/path`, `tcp:127.0.0.1:port`, or `tcp:host:port/enclave` and `tls:host:port/enclave`
 * @throws CocosError CONFIG_INVALID
 */
export function parseRelayAddress(text: string): RelayAddress {
  const [, kind, host, port, enclave] = GATEWAY.exec(text) ?? [];
  if (host !== undefined && enclave !== undefined && Number(port) <= 65_535)
    return { kind: 'gateway', tls: kind === 'tls', host, port: Number(port), enclave };
  const address = parseAddress(text);
  if (address.kind === 'tls') {
    throw new CocosError('CONFIG_INVALID', `The address '${text}' names no enclave: tls:host:port/enclave.`);
  }
  return address;
}
