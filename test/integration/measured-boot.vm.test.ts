import { spawnSync } from 'node:child_process';
import { createHash, createPublicKey } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  cpSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseEventLog } from '../../src/attestation/eventlog/parse.ts';
import { onlyBuild, parseReferenceValues } from '../../src/attestation/policy/reference.ts';
import { qmpCommands } from '../../src/manager/guests/vm/qmp.ts';
import { bootForReport } from '../guest/report.ts';
import { type TestImage, testImage, uefiFiles, whyNoGuests } from '../guest/test-image.ts';
import { whyNoTpm } from '../unit/agent/tpm/swtpm.ts';

const reason = whyNoGuests() ?? whyNoTpm();
if (reason !== null) console.warn(`measured boot tests are skipped: ${reason}`);

const QUALIFYING_DATA = '42'.repeat(32);
/** Only ends what hangs. */
const QMP_LIMIT_MS = 600_000;
/** What OVMF prints when nothing is left that it could boot. */
const GIVEN_UP = 'BdsDxe: No bootable option or device was found';
const FIXTURES = fileURLToPath(new URL('.', import.meta.url));

describe.skipIf(reason !== null)('a measured boot', () => {
  let scratch: string;
  let image: TestImage;

  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'cocos-m-'));
    image = testImage('eos-test');
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  /** The image in a folder of its own, with a file changed. */
  function altered(name: string, change: (bytes: Buffer) => Buffer): TestImage {
    const folder = mkdtempSync(join(scratch, 'i-'));
    cpSync(dirname(image.kernel), folder, { recursive: true });
    writeFileSync(join(folder, name), change(readFileSync(join(folder, name))));
    const at = (file: string): string => join(folder, file);
    const files = { firmware: at('bios.bin'), kernel: at('vmlinuz'), initrd: at('initrd.img') };
    return { ...image, ...files, rootImage: at('root.img') };
  }

  it('under UEFI with Secure Boot quotes every PCR that was predicted', async () => {
    const report = await bootForReport({ ...image, uefi: uefiFiles(image) }, scratch);
    const values = readFileSync(join(dirname(image.kernel), 'reference-values-uefi.json'), 'utf8');
    const predicted = onlyBuild(parseReferenceValues(JSON.parse(values))).vtpm?.pcrs ?? {};
    const { pcrs, attest, signature, publicArea } = report.quote();
    expect(Object.keys(predicted)).toEqual(['2', '3', '4', '5', '6', '7', '9', '11']);
    const quoted = Object.fromEntries(Object.keys(predicted).map((pcr) => [pcr, pcrs[pcr]]));
    expect(quoted).toEqual(predicted);

    // PCR 15 holds the agent's program alone, since there was no manifest.
    const agent = createHash('sha256').update(readFileSync(join(dirname(image.kernel), 'agent.js')));
    const extended = createHash('sha256').update(Buffer.alloc(32)).update(agent.digest()).digest('hex');
    expect(pcrs['15']).toBe(extended);

    // The point of a P-256 key is at the end of its public area: two sized numbers of 32 bytes.
    const area = Buffer.from(publicArea, 'hex');
    const [x, y] = [area.subarray(-66, -34), area.subarray(-32)].map((part) => part.toString('base64url'));
    const jwk = { kty: 'EC', crv: 'P-256', x: x ?? '', y: y ?? '' };
    const pem = createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'pem', type: 'spki' });
    writeFileSync(join(scratch, 'ak.pem'), pem);
    writeFileSync(join(scratch, 'quote'), Buffer.from(attest, 'hex'));
    writeFileSync(join(scratch, 'signature'), Buffer.from(signature, 'hex'));
    const files = ['-u', 'ak.pem', '-m', 'quote', '-s', 'signature', '-g', 'sha256', '-q', QUALIFYING_DATA];
    const check = spawnSync('tpm2_checkquote', files, { cwd: scratch, encoding: 'utf8' });
    expect(check.status, check.stderr).toBe(0);
  });

  it('does not start an unsigned kernel image, nor one that was changed after it was signed', async () => {
    const sign = join(scratch, 'unsigned.efi');
    copyFileSync(uefiFiles(image).kernel, sign);
    const removed = spawnSync('sbattach', ['--remove', sign], { encoding: 'utf8' });
    expect(removed.status, removed.stderr).toBe(0);
    const changed = join(scratch, 'changed.efi');
    const bytes = readFileSync(uefiFiles(image).kernel);
    const line = bytes.indexOf('console=ttyS0 quiet');
    bytes.write('console=ttyS0 debug', line);
    writeFileSync(changed, bytes);
    const refused = [sign, changed].map((kernel) =>
      bootForReport({ ...image, uefi: { ...uefiFiles(image), kernel } }, scratch, { last: GIVEN_UP }),
    );
    for (const { console } of await Promise.all(refused)) {
      expect(console).not.toContain('COCOS-BOOT');
      expect(console).toContain('Secure boot image verification failed');
      expect(console).toContain(GIVEN_UP);
    }
  });

  it('shows in PCR 7 that the variables of the firmware were changed', async () => {
    const uefi = uefiFiles(altered('ovmf-vars.fd', switchOff));
    const report = await bootForReport({ ...image, uefi }, scratch);
    const values = readFileSync(join(dirname(image.kernel), 'reference-values-uefi.json'), 'utf8');
    const predicted = onlyBuild(parseReferenceValues(JSON.parse(values))).vtpm?.pcrs ?? {};
    expect(report.quote().pcrs['11']).toBe(predicted['11']);
    expect(report.quote().pcrs['7']).not.toBe(predicted['7']);
  });
});

/** One guest: it reports, and then its host keeps what the disk held and writes it back later. */
describe.skipIf(reason !== null)('a guest with a scratch disk', () => {
  let scratch: string;
  let report: Awaited<ReturnType<typeof bootForReport>>;
  /** What the disk holds after the report. */
  let reported: Buffer;

  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'cocos-m-'));
    const sizes = [33, 34, 35].map((mib) => mib * 1024 * 1024);
    const disk = (folder: string): string => join(folder, 'scratch.img');
    // The guest sees that its disk grows, and goes on.
    const goOn = async (folder: string): Promise<void> => {
      const size = sizes.shift();
      await qmpCommands(join(folder, 'qmp.sock')).execute(
        'block_resize',
        { 'node-name': 'scratch', size },
        QMP_LIMIT_MS,
      );
    };
    const look = async (folder: string): Promise<void> => {
      reported = readFileSync(disk(folder));
      await goOn(folder);
    };
    let kept: Buffer = Buffer.alloc(0);
    const keep = async (folder: string): Promise<void> => {
      kept = readFileSync(disk(folder));
      await goOn(folder);
    };
    const setBack = async (folder: string): Promise<void> => {
      const file = openSync(disk(folder), 'r+');
      writeSync(file, kept);
      closeSync(file);
      await goOn(folder);
    };
    report = await bootForReport(testImage('eos-test'), scratch, {
      parts: ['report', 'replay'],
      scratchMiB: 32,
      meanwhile: [
        { said: 'begin', act: look },
        { said: 'first', act: keep },
        { said: 'second', act: setBack },
      ],
    });
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  it('runs what the golden list names, and nothing else', async () => {
    const names = ['processes', 'mounts', 'modules', 'sockets', 'unix', 'interfaces', 'capabilities'];
    const more = ['writable', 'settings', 'lockdown', 'swaps'];
    const seen = Object.fromEntries([...names, ...more].map((name) => [name, report.said(name)]));
    // Sizes of memory file systems follow the size of the guest.
    const text = `${JSON.stringify(seen, null, 1)}\n`.replace(/(size|nr_inodes)=\d+k?/g, '$1=N');
    await expect(text).toMatchFileSnapshot(join(FIXTURES, 'golden-guest.txt'));

    // The log of the BIOS comes through the fence: every event is that of a firmware, or of the agent, which has one.
    const { events } = parseEventLog(Buffer.from(report.quote().eventLog, 'base64'), 'pcr');
    expect(events.length).toBeGreaterThan(5);
  });

  it('gives the host neither what it wrote on the disk nor a file system to read', () => {
    expect(report.said('scratch')).toBe('written');
    const last = readFileSync(join(report.folder, 'scratch.img'));
    for (const disk of [reported, last]) {
      expect(disk.includes('COCOS-SCRATCH-CANARY')).toBe(false);
      // The magic number of btrfs.
      expect(disk.includes('_BHRfS_M')).toBe(false);
    }
    const blocks = Array.from({ length: reported.length / 4096 }, (_, n) =>
      reported.subarray(n * 4096, (n + 1) * 4096),
    );
    // The canary alone fills 62 blocks, each of them noise now.
    const noise = blocks.filter((block) => new Set(block).size > 200);
    expect(noise.length).toBeGreaterThan(62);
  });

  it('never gets a file as it was before, when the host sets the disk back', () => {
    expect(report.said('first')).toBe('old');
    expect(report.said('second')).toBe('new');
    expect(report.said('last')).toBe('EIO');
  });
});

describe.skipIf(reason !== null)('the scratch disk', () => {
  it('gives the guest nothing that the host has changed', async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'cocos-m-'));
    // Every block that is all noise, which those of the file are; none of the tags.
    const act = (folder: string): void => {
      const disk = readFileSync(join(folder, 'scratch.img'));
      const file = openSync(join(folder, 'scratch.img'), 'r+');
      for (let at = 0; at < disk.length; at += 4096) {
        if (new Set(disk.subarray(at, at + 4096)).size < 250) continue;
        writeSync(file, Buffer.of((disk[at + 7] ?? 0) ^ 1), 0, 1, at + 7);
      }
      closeSync(file);
    };
    try {
      const report = await bootForReport(testImage('eos-test'), scratch, {
        parts: ['scratch'],
        scratchMiB: 32,
        meanwhile: [{ said: 'first', act }],
      });
      expect(report.said('first')).toBe('same');
      expect(['EIO', 'EILSEQ', 'EBADMSG']).toContain(report.said('last'));
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
});

/** Clears the state of the record that switches Secure Boot on: the firmware then takes it as deleted. */
function switchOff(bytes: Buffer): Buffer {
  const name = Buffer.from('SecureBootEnable\0', 'utf16le');
  const header = bytes.indexOf(name) - 60;
  bytes[header + 2] = 0x3c;
  const data = header + 60 + name.length;
  bytes[data] = 0;
  bytes[header + 2] = 0x3f;
  return bytes;
}
