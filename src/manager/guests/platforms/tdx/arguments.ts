import { z } from 'zod';
import { base64OfLength, type LaunchArguments, TEE_MACHINE } from '../launch-arguments.ts';

const MRCONFIGID_BYTES = 48;
/** Context id of the host, where a quote generation service listens on vsock. */
const HOST_CID = '2';

/** Where the host's quote generation service listens. */
const QuoteService = z.union([
  z.strictObject({ path: z.string() }),
  z.strictObject({ vsockPort: z.int().min(1).max(0xffff_ffff) }),
]);

/** QEMU's object `tdx-guest`; bytes are base64. */
export const TdxProtection = z.strictObject({
  kind: z.literal('tdx'),
  /** MRCONFIGID; left out for zeros. */
  configId: z.string().optional(),
  quoteService: QuoteService,
});
export type TdxProtection = z.infer<typeof TdxProtection>;

/** @throws CocosError CONFIG_INVALID when MRCONFIGID does not have 48 bytes */
export function tdxArguments({ configId, quoteService }: TdxProtection): LaunchArguments {
  const socket =
    'path' in quoteService
      ? { type: 'unix', path: quoteService.path }
      : { type: 'vsock', cid: HOST_CID, port: String(quoteService.vsockPort) };
  const object = {
    ...{ 'qom-type': 'tdx-guest', id: 'tee' },
    'quote-generation-socket': socket,
    ...(configId === undefined ? {} : { mrconfigid: base64OfLength(configId, MRCONFIGID_BYTES) }),
  };
  return { machine: TEE_MACHINE, objects: [JSON.stringify(object)], needsKvm: true };
}
