import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { processesWith, startSystem, stopAll, succeeded } from '../harness/system.ts';
import { type FakeTeeHost, fakeTeeHost, QEMU_11, SNP_FILES } from '../harness/tee-host.ts';

/** An operator's view of the platforms of a host: what is there, what is missing, and what a failed launch means. */

const Host = z.object({
  platform: z.string(),
  platforms: z.array(
    z.object({
      platform: z.string(),
      isAvailable: z.boolean(),
      findings: z.array(z.object({ need: z.string(), isMet: z.boolean(), remedy: z.string() })),
    }),
  ),
});

let image: string;
let host: FakeTeeHost | null = null;
beforeEach(() => {
  image = mkdtempSync(path.join(tmpdir(), 'cocos-tee-image-'));
  for (const name of ['ovmf-amdsev.fd', 'ovmf-tdx.fd', 'vmlinuz', 'initrd.img', 'root.img'])
    writeFileSync(path.join(image, name), Buffer.alloc(4096));
  writeFileSync(path.join(image, 'cmdline'), 'quiet');
});
afterEach(async () => {
  await stopAll();
  host?.remove();
  host = null;
  rmSync(image, { recursive: true, force: true });
});

function startOn(made: FakeTeeHost, settings: NodeJS.ProcessEnv = {}) {
  host = made;
  return startSystem({
    ...{ COCOSAI_MODE: 'vm', COCOSAI_VTPM: 'off', COCOSAI_EOS_DIR: image, COCOSAI_HOST_ROOT: made.root },
    PATH: `${made.programs}:${process.env['PATH']}`,
    ...settings,
  });
}

describe('a host without TEE hardware', () => {
  it('refuses a platform by name, and says what is missing and how to get it', async () => {
    const system = await startOn(
      fakeTeeHost({ files: {}, qemu: { ...QEMU_11, version: [7, 2], teeObjects: [] } }),
    );
    const refused = await system.cli('enclave', 'create', 'a', '--platform', 'sev-snp');
    expect(refused.code).toBe(69);
    expect(refused.stderr).toContain('HOST_TEE_UNAVAILABLE');
    expect(refused.stderr).toContain('cocos-cli host doctor');
    expect(await system.cli('enclave', 'list', '-o', 'json').then(({ json }) => json)).toEqual([[]]);
    const { json } = succeeded(await system.cli('host', 'doctor', '-o', 'json'));
    const found = Host.parse(json[0]);
    expect(found.platform).toBe('emulated');
    const missing = found.platforms.flatMap(({ findings }) => findings.filter(({ isMet }) => !isMet));
    expect(missing.length).toBeGreaterThan(5);
    expect(missing.filter(({ remedy }) => remedy === '')).toEqual([]);
  });

  it('is described in the words of a person', async () => {
    const system = await startOn(fakeTeeHost({ files: {}, qemu: null }));
    const { stdout } = succeeded(await system.cli('host', 'doctor'));
    expect(stdout).toMatch(/^sev-snp: not available: \d of 8 missing$/m);
    expect(stdout).toContain('missing  KVM: there is no /dev/kvm');
    expect(stdout).toContain('Enclaves that name no platform get: emulated');
    const shown = succeeded(await system.cli('host', 'show')).stdout;
    expect(shown).toContain('EMULATED');
    const root = succeeded(await system.cli('host', 'root')).stdout;
    // As `host root > root.pem` writes it.
    expect(new X509Certificate(root).subject).toContain('ARK-EMULATED');
  });

  it('does not start a manager whose setting names a platform that does not exist', async () => {
    const made = fakeTeeHost({ files: {}, qemu: null });
    await expect(startOn(made, { COCOSAI_TEE: 'sgx' })).rejects.toThrow();
  });
});

describe('a host with TEE hardware', () => {
  it('gives enclaves its platform, and explains a launch that the hardware refuses', async () => {
    const failure =
      "qemu-system-x86_64: -accel kvm: sev_common_kvm_init: failed to initialize ret=-16 fw_error=0 ''";
    const system = await startOn(fakeTeeHost({ files: SNP_FILES, qemu: { ...QEMU_11, failure } }));
    const failed = await system.cli('enclave', 'create', 'a');
    expect(failed.code).not.toBe(0);
    expect(failed.stderr).toMatch(/Every ASID of SEV-SNP is in use\. Stop an enclave/);
    expect(succeeded(await system.cli('enclave', 'list')).stdout).toContain('sev-snp');
    expect(processesWith(system.folder)).toEqual([]);
  });

  it('takes no more guests than the hardware has slots for', async () => {
    const files = { ...SNP_FILES, '/sys/fs/cgroup/misc.capacity': 'sev_es 0\n' };
    const system = await startOn(fakeTeeHost({ files, qemu: QEMU_11 }));
    const refused = await system.cli('enclave', 'create', 'a');
    expect(refused.stderr).toContain('LIMIT_EXCEEDED: This host protects at most 0 sev-snp guests');
  });
});
