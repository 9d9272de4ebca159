import { base64OfLength, type LaunchArguments, TEE_MACHINE } from '../launch-arguments.ts';

export interface TdxProtection {
  readonly kind: 'tdx';
  /** 48 bytes for MRCONFIGID, or none. */
  readonly configId?: Uint8Array;
  /** vsock port of the host's quote generation service. */
  readonly quotePort: number;
}

/** @throws CocosError CONFIG_INVALID when MRCONFIGID does not have 48 bytes */
export function tdxArguments({ configId, quotePort }: TdxProtection): LaunchArguments {
  const object = {
    ...{ 'qom-type': 'tdx-guest', id: 'tee' },
    'quote-generation-socket': { type: 'vsock', cid: '2', port: String(quotePort) },
    ...(configId === undefined ? {} : { mrconfigid: base64OfLength(configId, 48) }),
  };
  return { machine: TEE_MACHINE, objects: [JSON.stringify(object)], needsKvm: true };
}
