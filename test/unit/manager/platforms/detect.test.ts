import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { TeePlatform } from '../../../../src/machines/enclave.events.ts';
import { readHostFacts } from '../../../../src/manager/guests/platforms/host-facts.ts';
import { choosePlatform, detectPlatforms } from '../../../../src/manager/guests/platforms/platforms.ts';
import { type FakeTeeHost, fakeTeeHost, QEMU_11, SNP_FILES, TDX_FILES } from '../../../harness/tee-host.ts';

let image: string;
let host: FakeTeeHost | null = null;
beforeEach(() => {
  image = mkdtempSync(path.join(tmpdir(), 'cocos-tee-image-'));
  for (const name of ['ovmf-amdsev.fd', 'ovmf-tdx.fd']) writeFileSync(path.join(image, name), '');
});
afterEach(() => {
  vi.unstubAllEnvs();
  host?.remove();
  host = null;
  rmSync(image, { recursive: true, force: true });
});

/** What is found on a host with these files and this QEMU. */
async function reportsOf(
  files: Readonly<Record<string, string>>,
  qemu: Parameters<typeof fakeTeeHost>[0]['qemu'] = QEMU_11,
) {
  host = fakeTeeHost({ files, qemu });
  vi.stubEnv('PATH', host.programs);
  return detectPlatforms(await readHostFacts({ root: host.root, imageFolder: image }));
}

function without(files: Readonly<Record<string, string>>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(files).filter(([file]) => file !== name));
}

describe('a host', () => {
  it.each<[TeePlatform, Readonly<Record<string, string>>, number]>([
    ['sev-snp', SNP_FILES, 99],
    ['tdx', TDX_FILES, 31],
  ])('with everything that %s needs offers it, and `auto` takes it', async (platform, files, slots) => {
    const reports = await reportsOf(files);
    const found = reports.find((each) => each.platform === platform);
    expect(found?.findings.filter(({ isMet }) => !isMet)).toEqual([]);
    expect(found?.slots).toBe(slots);
    expect(choosePlatform('auto', reports).platform).toBe(platform);
  });

  it.each<[TeePlatform, string, string]>([
    ['sev-snp', '/dev/sev', 'there is no /dev/sev'],
    ['sev-snp', '/dev/kvm', 'there is no /dev/kvm'],
    ['sev-snp', '/dev/vhost-vsock', 'there is no /dev/vhost-vsock'],
    ['sev-snp', '/sys/module/kvm_amd/parameters/sev_snp', 'kvm_amd has no parameter sev_snp'],
    ['sev-snp', '/proc/cpuinfo', 'the processor is not known'],
    ['tdx', '/dev/vhost-vsock', 'there is no /dev/vhost-vsock'],
    ['tdx', '/sys/module/kvm_intel/parameters/tdx', 'kvm_intel has no parameter tdx'],
    ['tdx', '/var/run/tdx-qgs/qgs.socket', 'nothing is at /var/run/tdx-qgs/qgs.socket'],
  ])('without what %s needs, %s, says so and is not replaced by another', async (platform, name, found) => {
    const reports = await reportsOf(without(platform === 'tdx' ? TDX_FILES : SNP_FILES, name));
    expect(() => choosePlatform(platform, reports)).toThrowError(
      expect.objectContaining({ code: 'HOST_TEE_UNAVAILABLE', message: expect.stringContaining(found) }),
    );
    expect(choosePlatform('auto', reports).platform).toBe('emulated');
  });

  it.each<[string, Parameters<typeof fakeTeeHost>[0]['qemu'], string]>([
    ['no QEMU', null, 'there is no QEMU on PATH'],
    ['an old QEMU', { ...QEMU_11, version: [7, 2], teeObjects: ['sev-guest'] }, 'is 7.2'],
    ['a QEMU built without the object', { ...QEMU_11, teeObjects: [] }, 'has no sev-snp-guest'],
    ['a secure processor that fails', { ...QEMU_11, sev: null }, 'SEV is not enabled in KVM'],
  ])('with %s names it', async (_, qemu, found) => {
    const [snp] = await reportsOf(SNP_FILES, qemu);
    const missing = snp?.findings.filter(({ isMet }) => !isMet) ?? [];
    expect(missing.map((each) => each.found).join('\n')).toContain(found);
    // Each says how to get it.
    expect(missing.map(({ remedy }) => remedy)).not.toContain(null);
  });

  it('whose kernel has SEV-SNP switched off tells how to switch it on', async () => {
    const [snp] = await reportsOf({ ...SNP_FILES, '/sys/module/kvm_amd/parameters/sev_snp': 'N\n' });
    expect(snp?.findings.filter(({ isMet }) => !isMet)).toEqual([
      expect.objectContaining({ found: 'kvm_amd.sev_snp is N', remedy: expect.stringContaining('iommu=pt') }),
    ]);
  });
});
