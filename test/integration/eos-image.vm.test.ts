import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authenticodeDigest } from '../../src/attestation/measure/pe.ts';
import { onlyBuild, parseReferenceValues } from '../../src/attestation/policy/reference.ts';
import { predictTd, predictUefi } from '../../src/cli/trust/eos-image.ts';
import { launchVmGuest } from '../../src/manager/guests/vm/vm-guest.ts';
import { bootable, buildImage, SECURE_BOOT_KEYS, testImage, whyNoGuests } from '../guest/test-image.ts';

const reason = whyNoGuests();
if (reason !== null) console.warn(`image tests are skipped: ${reason}`);

describe.skipIf(reason !== null)('eos/build.ts', () => {
  let scratch: string;
  let folder: string;

  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'cocos-eos-'));
    folder = dirname(testImage('eos').kernel);
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  it('gives the same bytes from another folder, umask, time zone, locale and home', async () => {
    const out = join(scratch, 'a folder', 'elsewhere');
    const script = `umask 077; exec ${process.execPath} --import tsx eos/build.ts --secure-boot "$KEYS" --out "$OUT"`;
    const cache = process.env['COCOSAI_CACHE'] ?? join(process.env['HOME'] ?? '/root', '.cache/cocosai');
    const env = {
      ...process.env,
      OUT: out,
      KEYS: SECURE_BOOT_KEYS,
      TZ: 'Asia/Kolkata',
      LC_ALL: 'C.UTF-8',
      TMPDIR: scratch,
      COCOSAI_CACHE: cache,
    };
    await promisify(execFile)('sh', ['-c', script], { env: { ...env, HOME: scratch } });
    // The signed one, whose root image is that of the unsigned one.
    const signed = dirname(testImage('eos-signed').kernel);
    for (const name of ['SHA256SUMS', 'SHA256SUMS.sig'])
      expect(readFileSync(join(out, name)).equals(readFileSync(join(signed, name)))).toBe(true);
    for (const name of ['vmlinuz', 'initrd.img', 'root.img', 'cmdline', 'agent.js', 'sbom.cdx.json'])
      expect(readFileSync(join(out, name)).equals(readFileSync(join(folder, name)))).toBe(true);
  });

  it('writes checksums that sha256sum accepts', () => {
    const check = spawnSync('sha256sum', ['--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: folder });
    expect(check.stderr.toString()).toBe('');
    expect(check.status).toBe(0);
  });

  it('writes reference values in their documented form, with the root hash of the command line', () => {
    const values = onlyBuild(
      parseReferenceValues(JSON.parse(readFileSync(join(folder, 'reference-values.json'), 'utf8'))),
    );
    expect(values.vm?.commandLine).toBe(readFileSync(join(folder, 'cmdline'), 'utf8'));
    expect(values.vm?.commandLine).toContain(`cocos.roothash=${values.vm?.rootHash}`);
  });

  it.skipIf(spawnSync('veritysetup', ['--version']).status !== 0)(
    'makes a root that veritysetup verifies',
    () => {
      const line = readFileSync(join(folder, 'cmdline'), 'utf8');
      const hash = /cocos\.roothash=([0-9a-f]{64})/.exec(line)?.[1] ?? '';
      const blocks = Number(/cocos\.rootblocks=(\d+)/.exec(line)?.[1]);
      const root = join(folder, 'root.img');
      const where = [
        '--no-superblock',
        '--salt=-',
        `--data-blocks=${blocks}`,
        `--hash-offset=${blocks * 4096}`,
      ];
      expect(spawnSync('veritysetup', ['verify', ...where, root, root, hash]).status).toBe(0);
      expect(
        spawnSync('veritysetup', [
          'verify',
          ...where,
          root,
          root,
          hash.replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
        ]).status,
      ).not.toBe(0);
    },
  );

  it('foretells MRTD of the firmware for TDX as another program computes it', async () => {
    // By an independent implementation (aleph-im/aleph-vm, its module tdx_measurement) for ovmf-inteltdx 2026.08+ds-2;
    // another version of that package in eos/packages.lock.json has another value.
    const other =
      'a7a1f751abc454f9cbab198ca8d2edb2821935df525c74182b5e776cb0929e8c59aefecce725b0d08a5e9d3d3183bd08';
    expect(await predictTd(folder)).toBe(other);
    const values = readFileSync(join(folder, 'reference-values-tdx.json'), 'utf8');
    expect(onlyBuild(parseReferenceValues(JSON.parse(values))).tdx?.mrtd).toBe(other);
  });

  it('foretells RTMR 1 with the events that firmware for TDX logs', async () => {
    // Digests of a real log (shared/vectors/eventlog/ccel-cos113-with-quote): calling the program, separator, and
    // the two of leaving the boot services. Only the kernel image is another; without Secure Boot the kernel in it
    // is loaded by the firmware too.
    const [calling, separator, leaving, left] = [
      '77a0dab2312b4e1e57a84d865a21e5b2ee8d677a21012ada819d0a98988078d3d740f6346bfe0abaa938ca20439a8d71',
      '394341b7182cd227c5c6b07ef8000cdfd86136c4292b8e576573ad7ed9ae41019f5818b4b971c9effc60e1ad9f1289f0',
      '214b0bef1379756011344877743fdc2a5382bac6e70362d624ccf3f654407c1b4badf7d8f9295dd3dabdef65b27677e0',
      '0a2e01c85deae718a530ad8c6d20a84009babe6c8989269e950d8cf440c6e997695e64d455c4174a652cd080f6230b74',
    ];
    const sha384 = (bytes: Uint8Array): Uint8Array => createHash('sha384').update(bytes).digest();
    const kernelImage = authenticodeDigest(readFileSync(join(folder, 'eos.efi')), sha384);
    const kernel = authenticodeDigest(readFileSync(join(folder, 'vmlinuz')), sha384);
    let register: Uint8Array = Buffer.alloc(48);
    for (const digest of [kernelImage, calling, separator, kernel, leaving, left]) {
      const bytes = typeof digest === 'string' ? Buffer.from(digest, 'hex') : (digest ?? Buffer.alloc(0));
      register = sha384(Buffer.concat([register, bytes]));
    }
    expect((await predictUefi(folder, 'rtmr'))['1']).toBe(Buffer.from(register).toString('hex'));
  });

  it('makes a root image of at most 60 MiB with the agent', () => {
    expect(statSync(testImage('eos').rootImage).size).toBeLessThanOrEqual(60 * 1024 * 1024);
  });

  it('does not build again when nothing changed', async () => {
    const before = statSync(join(folder, 'root.img')).mtimeMs;
    await buildImage('eos', []);
    expect(statSync(join(folder, 'root.img')).mtimeMs).toBe(before);
  });

  it.each([
    ['a changed block of the root image', 1024 + 5, null, /Kernel panic - not syncing[^\n]*dm-verity/],
    ['another root hash', null, /cocos\.roothash=./, /Kernel panic - not syncing[^\n]*dm-verity/],
    ['no root hash', null, /cocos\.roothash=/, /COCOS-INIT-FAILED: start: no root hash/],
  ])('does not run with %s', async (_, offset, changed, expected) => {
    const image = testImage('eos');
    const changedRoot = join(scratch, 'root.img');
    copyFileSync(image.rootImage, changedRoot);
    if (offset !== null) {
      const bytes = readFileSync(changedRoot);
      bytes[offset] = (bytes[offset] ?? 0) ^ 1;
      writeFileSync(changedRoot, bytes);
    }
    const commandLine = image.commandLine.replace(changed ?? '', (match) =>
      changed === null
        ? match
        : match.length > 15
          ? `cocos.roothash=${match.endsWith('0') ? '1' : '0'}`
          : 'x=',
    );
    const run = mkdtempSync(join(scratch, 'r-'));
    const logFile = join(run, 'console.log');
    const guest = await launchVmGuest({
      image: bootable({ ...image, rootImage: changedRoot, commandLine }),
      vcpus: 1,
      vcpuType: 'EPYC-v3',
      memoryMiB: 256,
      accelerator: 'auto',
      socketDir: run,
      logFile,
      notice: () => undefined,
    });
    await guest.exited;
    const text = readFileSync(logFile, 'utf8');
    expect(text).toMatch(expected);
    expect(text).not.toContain('COCOS-AGENT-EXIT');
  });
});
