import path from 'node:path';
import { measureTd } from '../../../../attestation/measure/tdvf.ts';
import { attestationCrypto } from '../../../../crypto/attestation-crypto.ts';
import { CocosError } from '../../../../errors.ts';
import { type GuestPlan, imageFiles, type PlannedGuest, paddedDigest, readImage } from '../guest-plan.ts';
import { TDX_FIRMWARE } from './detect.ts';

const MRCONFIGID_BYTES = 48;

/** A unified kernel image under firmware that measures it into the registers of the trust domain. */
export async function planTdx({ imageFolder, manifestDigest, facts }: PlannedGuest): Promise<GuestPlan> {
  const { quoteSocket } = facts;
  if (quoteSocket === null)
    throw new CocosError('HOST_TEE_UNAVAILABLE', 'The quote generation service of TDX does not run.');
  const firmware = path.join(imageFolder, TDX_FIRMWARE);
  const measurement = measureTd(await readImage(firmware), attestationCrypto);
  if (measurement === null)
    throw new CocosError('HOST_IMAGE_MISSING', `${firmware} is no firmware for trust domains.`);
  return {
    image: imageFiles(imageFolder, {
      kind: 'unified',
      firmware,
      kernel: path.join(imageFolder, 'eos.efi'),
    }),
    launchLog: null,
    measurement,
    // KVM offers a trust domain the host's own processor only.
    vcpuType: 'host',
    protection: {
      kind: 'tdx',
      quoteService: { path: quoteSocket },
      ...(manifestDigest === null ? {} : { configId: paddedDigest(manifestDigest, MRCONFIGID_BYTES) }),
    },
  };
}
