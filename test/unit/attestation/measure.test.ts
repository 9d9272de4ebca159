import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { kernelHashesPage } from '../../../src/attestation/measure/kernel-hashes.ts';
import { measureLaunch } from '../../../src/attestation/measure/launch.ts';
import { measureSev, measureSevEs } from '../../../src/attestation/measure/other-modes.ts';
import { readOvmfMetadata } from '../../../src/attestation/measure/ovmf.ts';
import {
  continueWithMetadata,
  firmwareState,
  measureFirmwarePages,
  measureVm,
} from '../../../src/attestation/measure/snp.ts';
import { vmsaPage } from '../../../src/attestation/measure/vmsa.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import { hasVectors, vectorsDir } from '../../vectors.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const Case = z.object({
  test: z.string().optional(),
  mode: z.string(),
  vcpus: z.number(),
  vcpu_type: z.string().optional(),
  firmware: z.string(),
  kernel: z.string().nullable(),
  initrd: z.string().nullable(),
  append: z.string().nullable(),
  guest_features: z.string(),
  snp_ovmf_hash: z.string().optional(),
  vmm_type: z.string().transform((name) => z.enum(['qemu', 'ec2', 'gce']).parse(name.toLowerCase())),
  digest: z.string().nullable(),
});
const Section = z.object({ gpa: z.string(), size: z.string(), type: z.string() });
const Metadata = z.object({
  reset_eip: z.string(),
  sections: z.array(Section),
  snp_ovmf_hash: z.string(),
  sev_hashes_table_gpa: z.string(),
});
const Expected = z.object({
  cases: z.array(Case),
  extra_cases_computed_here: z.array(Case),
  metadata: z.object({
    'ovmf_AmdSev_suffix.bin': Metadata,
    'ovmf_OvmfX64_suffix.bin': Metadata,
    kernel_hashes_table_for_extra_cases: z.string(),
    vmsa_nonzero_bytes: z.object({
      bsp: z.record(z.string(), z.string()),
      ap: z.record(z.string(), z.string()),
    }),
  }),
});

const folder = join(vectorsDir(), 'snp-launch-digest');
const read = (name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)));

function fileDigest(name: string | null): string | null {
  if (name === null) return null;
  return hex(crypto.sha256(name === '(empty file)' ? new Uint8Array() : read(name)));
}

function measure(c: z.infer<typeof Case>): string {
  const image = read(c.firmware);
  const metadata = readOvmfMetadata(image);
  if (metadata === null) throw new Error('the firmware of a case has no metadata');
  const pages =
    c.snp_ovmf_hash === undefined ? measureFirmwarePages(image, crypto) : Buffer.from(c.snp_ovmf_hash, 'hex');
  const { state, layout } = continueWithMetadata(pages, metadata, c.vmm_type, crypto);
  const launch = {
    firmware: { digest: state, layout },
    kernel: fileDigest(c.kernel),
    initrd: fileDigest(c.initrd),
    commandLine: c.append ?? '',
    vcpus: c.vcpus,
    vcpuType: c.vcpu_type ?? 'EPYC-v4',
    guestFeatures: Number(c.guest_features),
    vmm: c.vmm_type,
  };
  return hex(measureVm(launch, crypto));
}

describe.skipIf(!hasVectors)('measureVm on published launch digests', () => {
  const expected = hasVectors
    ? Expected.parse(JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')))
    : null;
  const all = expected === null ? [] : [...expected.cases, ...expected.extra_cases_computed_here];
  const snp = all.filter((c) => c.mode === 'SEV_SNP');

  it('has all SNP cases of the set', () => {
    expect(snp).toHaveLength(19);
  });

  for (const c of snp) {
    const name = c.test ?? `${c.vcpu_type} with ${c.vcpus} vCPUs`;
    if (c.digest === null) {
      it(`refuses to measure: ${name}`, () => {
        expect(() => measure(c)).toThrowError(expect.objectContaining({ code: 'MEASURE_UNSUPPORTED' }));
      });
    } else {
      it(`computes the published digest: ${name}`, () => {
        expect(measure(c)).toBe(c.digest);
      });
    }
  }

  const older = all.filter((c) => c.mode !== 'SEV_SNP');
  it('has the cases of SEV and SEV-ES', () => {
    expect(older.map((c) => c.mode).toSorted()).toEqual(['SEV', 'SEV', 'SEV', 'SEV', 'SEV_ES', 'SEV_ES']);
  });

  for (const c of older) {
    const kernel = () => {
      const digest = fileDigest(c.kernel);
      if (digest === null) return null;
      return { kernel: digest, initrd: fileDigest(c.initrd), commandLine: c.append ?? '' };
    };
    const launch = () => ({ firmware: read(c.firmware), kernel: kernel() });
    const digest = () =>
      c.mode === 'SEV'
        ? measureSev(launch(), crypto)
        : measureSevEs({ ...launch(), vcpus: c.vcpus, vcpuType: c.vcpu_type ?? 'EPYC-v4' }, crypto);
    it(`computes the published digest or refusal: ${c.test}`, () => {
      if (c.digest === null) {
        expect(digest).toThrowError(expect.objectContaining({ code: 'MEASURE_UNSUPPORTED' }));
      } else {
        expect(hex(digest())).toBe(c.digest);
      }
    });
  }

  it.each(['ovmf_AmdSev_suffix.bin', 'ovmf_OvmfX64_suffix.bin'] as const)(
    'reads the metadata of %s',
    (file) => {
      const want = expected?.metadata[file];
      const found = readOvmfMetadata(read(file));
      expect(found?.apEip).toBe(Number(want?.reset_eip));
      expect(found?.hashesTable ?? 0).toBe(Number(want?.sev_hashes_table_gpa));
      expect(found?.sections.map((s) => [s.gpa, s.size])).toEqual(
        want?.sections.map((s) => [Number(s.gpa), Number(s.size)]),
      );
      expect(hex(measureFirmwarePages(read(file), crypto))).toBe(want?.snp_ovmf_hash);
    },
  );

  it('builds the kernel hashes table byte for byte', () => {
    const commandLine = 'console=ttyS0 root=/dev/vda1 ro';
    const hashes = { kernel: fileDigest('kernel.bin') ?? '', initrd: fileDigest('initrd.bin'), commandLine };
    const page = kernelHashesPage(0x810c00, hashes, crypto);
    const table = expected?.metadata.kernel_hashes_table_for_extra_cases ?? '';
    expect(hex(page.subarray(0xc00, 0xc00 + table.length / 2))).toBe(table);
    expect(page.subarray(0, 0xc00).every((b) => b === 0)).toBe(true);
    expect(page.subarray(0xc00 + table.length / 2).every((b) => b === 0)).toBe(true);
  });

  it.each([
    ['bsp', 0xfffffff0],
    ['ap', 0x80b004],
  ] as const)('builds the %s save area byte for byte', (which, eip) => {
    const page = vmsaPage({ eip, signature: 0x800f12, guestFeatures: 1, vmm: 'qemu' });
    const nonzero = Object.fromEntries(
      Array.from(page, (byte, at) => [`0x${at.toString(16)}`, `0x${byte.toString(16)}`] as const).filter(
        ([, byte]) => byte !== '0x0',
      ),
    );
    expect(nonzero).toEqual(expected?.metadata.vmsa_nonzero_bytes[which]);
  });
});

describe('measureLaunch', () => {
  // Computed with a separate program (Python's hashlib) from the SNP ABI's PAGE_INFO and the documented layout.
  const image = Uint8Array.from({ length: 8192 }, (_, i) => (i * 7) % 256);
  const state =
    '1c07c118a0cd724715cb18390ba9bd85121d64e32585e521de1dc26faac423e8039ad6d912ad4c0c1fc11cd250c591bf';
  const log = {
    kind: 'vm',
    firmware: { name: 'plain', digest: state },
    kernel: 'aa'.repeat(32),
    initrd: 'bb'.repeat(32),
    commandLine: `console=ttyS0 cocos.roothash=${'0'.repeat(64)}`,
    vcpus: 2,
    vcpuType: 'EPYC-v4',
    guestFeatures: 1,
  } as const;

  it('measures only the pages of firmware without metadata', () => {
    expect(firmwareState(image, crypto)).toEqual({ state, layout: undefined });
  });

  it('measures a VM on plain firmware with the fixed hashes page and reset-vector vCPUs', () => {
    expect(hex(measureLaunch(log, crypto))).toBe(
      'd0e00eabfb7a3b1c7f2557eccc233025befafa064654559ad1d445c48dde789aa769ad5c40afad8574be306c7c3d085e',
    );
  });

  it.each([
    ['kernel', { kernel: 'ab'.repeat(32) }],
    ['initrd', { initrd: 'ab'.repeat(32) }],
    ['command line', { commandLine: 'console=ttyS0' }],
    ['number of vCPUs', { vcpus: 3 }],
    ['vCPU type', { vcpuType: 'EPYC-Milan' }],
    ['guest features', { guestFeatures: 0x21 }],
    ['firmware', { firmware: { name: 'plain', digest: 'ff'.repeat(48) } }],
  ])('gives another measurement for another %s', (_, change) => {
    expect(hex(measureLaunch({ ...log, ...change }, crypto))).not.toBe(hex(measureLaunch(log, crypto)));
  });

  it.each(['Nehalem', 'EPYC-v6', 'EPYC-Genoa-v4', 'EPYC-IBPB-v1', 'EPYC-Siena', '__proto__', ''])(
    'refuses the vCPU type %j',
    (vcpuType) => {
      expect(() => measureLaunch({ ...log, vcpuType }, crypto)).toThrowError(
        expect.objectContaining({ code: 'MEASURE_UNSUPPORTED' }),
      );
    },
  );

  it('measures a process over domain, runtime, agent and command line', () => {
    const process = {
      kind: 'process',
      runtime: '11'.repeat(32),
      agent: '22'.repeat(32),
      commandLine: '--mode process',
    } as const;
    // SHA-384 by Python's hashlib.
    expect(hex(measureLaunch(process, crypto))).toBe(
      '883818569b9bcfa6d4633a83942286d9be470a96f0cb29e6c348241c4ed3fc30cb18ba90d53a938a9fbd7591413c0c24',
    );
  });

  it.each([0, 100, 4097])('refuses a firmware of %i bytes', (size) => {
    expect(() => firmwareState(new Uint8Array(size), crypto)).toThrowError(
      expect.objectContaining({ code: 'MEASURE_UNSUPPORTED' }),
    );
  });
});

describe.skipIf(!hasVectors)('readOvmfMetadata', () => {
  it('refuses metadata beyond the end of the image', () => {
    const image = Buffer.from(hasVectors ? read('ovmf_AmdSev_suffix.bin') : []);
    image.writeUInt32LE(4096, image.indexOf('ASEV') + 4);
    expect(() => readOvmfMetadata(image)).toThrowError(
      expect.objectContaining({ code: 'MEASURE_UNSUPPORTED' }),
    );
  });

  it('throws only its own error on damaged images', () => {
    const image = hasVectors ? read('ovmf_AmdSev_suffix.bin') : new Uint8Array(4096);
    let refused = 0;
    for (let at = 0; at < image.length; at += 1) {
      const damaged = Uint8Array.from(image);
      damaged[at] = (damaged[at] ?? 0) ^ 0xff;
      try {
        readOvmfMetadata(damaged);
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: 'MEASURE_UNSUPPORTED' });
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(20);
  });
});
