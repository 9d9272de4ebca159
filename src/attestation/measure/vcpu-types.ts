import { CocosError } from '../../errors.ts';

/**
 * CPUID(1).EAX of the vCPU models of QEMU 11.1 that an SNP guest can have. It is the model given to the hypervisor, not
 * the CPU of the machine, and determines RDX of the initial vCPU state.
 */
const SIGNATURES: Readonly<Record<string, { readonly signature: number; readonly versions: number }>> = {
  EPYC: { signature: 0x800f12, versions: 5 },
  'EPYC-IBPB': { signature: 0x800f12, versions: 0 },
  'EPYC-Rome': { signature: 0x830f10, versions: 5 },
  'EPYC-Milan': { signature: 0xa00f11, versions: 4 },
  'EPYC-Genoa': { signature: 0xa10f10, versions: 3 },
  'EPYC-Turin': { signature: 0xb00f00, versions: 2 },
};

/** Processors of which people look for a model, and the CPUID(1).EAX that a guest has with `-cpu host` on one. */
const WITHOUT_MODEL: Readonly<Record<string, string>> = {
  'EPYC-Bergamo': '0xaa0f02',
  'EPYC-Siena': '0xaa0f02',
};

/**
 * CPUID signature of a vCPU model by name, with or without a `-v<n>` suffix; a signature is returned as it is.
 *
 * @throws CocosError MEASURE_UNSUPPORTED
 */
export function cpuidSignature(vcpuType: string | number): number {
  if (typeof vcpuType === 'number') return vcpuType;
  const match = /^(EPYC(?:-[A-Z][A-Za-z]+)?)(?:-v([1-9]))?$/.exec(vcpuType);
  const model = match?.[1];
  const row = model !== undefined && Object.hasOwn(SIGNATURES, model) ? SIGNATURES[model] : undefined;
  const host = Object.hasOwn(WITHOUT_MODEL, vcpuType) ? WITHOUT_MODEL[vcpuType] : undefined;
  if (host !== undefined) {
    throw new CocosError(
      'MEASURE_UNSUPPORTED',
      `QEMU has no vCPU model ${vcpuType}: give the model that it runs with (EPYC-Genoa), or --vcpu-sig ${host} for -cpu host`,
    );
  }
  if (row === undefined || Number(match?.[2] ?? 0) > row.versions) {
    throw new CocosError('MEASURE_UNSUPPORTED', `the vCPU type ${JSON.stringify(vcpuType)} is unknown`, {
      details: { known: Object.keys(SIGNATURES) },
    });
  }
  return row.signature;
}
