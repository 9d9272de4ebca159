import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseReferenceValues } from '../../src/attestation/reference.ts';
import { launchVmGuest } from '../../src/manager/vm/vm-guest.ts';
import { buildTestImage, whyNoGuests } from '../guest/test-image.ts';

const reason = whyNoGuests();
if (reason !== null) console.warn(`image tests are skipped: ${reason}`);

const AGENT = 'test/guest/vsock-agent.ts';

describe.skipIf(reason !== null)('eos/build.ts', () => {
  let scratch: string;
  let folder: string;

  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'cocos-eos-'));
    folder = dirname(buildTestImage(AGENT, 'eos-vsock-test').kernel);
  }, 60_000);
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  it('gives the same bytes from another folder, umask, time zone, locale and home', () => {
    const out = join(scratch, 'a folder', 'elsewhere');
    const script = `umask 077; exec ${process.execPath} --import tsx eos/build.ts --agent ${AGENT} --out "$OUT"`;
    const cache = process.env['COCOSAI_CACHE'] ?? join(process.env['HOME'] ?? '/root', '.cache/cocosai');
    const env = {
      ...process.env,
      OUT: out,
      TZ: 'Asia/Kolkata',
      LC_ALL: 'C.UTF-8',
      TMPDIR: scratch,
      COCOSAI_CACHE: cache,
    };
    const build = spawnSync('sh', ['-c', script], { env: { ...env, HOME: scratch }, encoding: 'utf8' });
    expect(build.status, build.stderr).toBe(0);
    expect(readFileSync(join(out, 'SHA256SUMS'), 'utf8')).toBe(
      readFileSync(join(folder, 'SHA256SUMS'), 'utf8'),
    );
  }, 120_000);

  it('writes checksums that sha256sum accepts', () => {
    const check = spawnSync('sha256sum', ['--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: folder });
    expect(check.stderr.toString()).toBe('');
    expect(check.status).toBe(0);
  });

  it('writes reference values in their documented form, with the root hash of the command line', () => {
    const values = parseReferenceValues(
      JSON.parse(readFileSync(join(folder, 'reference-values.json'), 'utf8')),
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

  it('does not build again when nothing changed', () => {
    const before = statSync(join(folder, 'root.img')).mtimeMs;
    buildTestImage(AGENT, 'eos-vsock-test');
    expect(statSync(join(folder, 'root.img')).mtimeMs).toBe(before);
  });

  it.each([
    ['a changed block of the root image', 1024 + 5, null, /Kernel panic - not syncing[^\n]*dm-verity/],
    ['another root hash', null, /cocos\.roothash=./, /Kernel panic - not syncing[^\n]*dm-verity/],
    ['no root hash', null, /cocos\.roothash=/, /COCOS-INIT-FAILED: start: no root hash/],
  ])(
    'does not run with %s',
    async (_, offset, changed, expected) => {
      const image = buildTestImage(AGENT, 'eos-vsock-test');
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
        image: { ...image, rootImage: changedRoot, commandLine },
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
    },
    60_000,
  );
});
