import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { svsmVmsaPage } from '../../../src/attestation/measure/vmsa.ts';
import { runCli } from '../../fakes/cli.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const EIP = 0xffcc_1234;
const EPYC = 0x80_0f12;

/**
 * Every byte of the save area that is not zero. Offsets and sizes: AMD64 Architecture Programmer's Manual, volume 2, table
 * B-4. Values: what that manual gives after INIT (14.1.3), what KVM sets of a guest with encrypted state, and what QEMU sets
 * for COCONUT-SVSM, which it starts in 32-bit protected mode. A segment is selector, attributes, limit and base; the
 * attributes are bits 8 to 15 and 20 to 23 of the second doubleword of a descriptor (4.8), without the gap.
 */
const ROWS: readonly (readonly [number, string, string])[] = [
  [0x000, '1000930cffffffff', 'ES: QEMU, the second descriptor: data, writable, present, 4 GiB'],
  [0x010, '08009b0cffffffff', 'CS: QEMU, the first descriptor: code, readable, present, 4 GiB'],
  [0x020, '1000930cffffffff', 'SS: as ES'],
  [0x030, '1000930cffffffff', 'DS: as ES'],
  [0x040, '1000930cffffffff', 'FS: as ES'],
  [0x050, '00009300ffff0000', 'GS: after INIT'],
  [0x060, '00000000ffff0000', 'GDTR: after INIT, the limit'],
  [0x070, '00008200ffff0000', 'LDTR: after INIT, a present LDT'],
  [0x080, '00000000ffff0000', 'IDTR: after INIT, the limit'],
  [0x090, '00008b00ffff0000', 'TR: after INIT, a busy TSS'],
  [0x0d0, '0010000000000000', 'EFER: KVM, SVME'],
  [0x148, '4000000000000000', 'CR4: KVM, MCE'],
  [0x158, '1100000000000000', 'CR0: ET after INIT, and PE by QEMU'],
  [0x160, '0004000000000000', 'DR7: after INIT'],
  [0x168, 'f00fffff00000000', 'DR6: after INIT'],
  [0x170, '0200000000000000', 'RFLAGS: after INIT, the bit that is always one'],
  [0x178, '3412ccff00000000', 'RIP: the entry in the metadata of the SVSM, plus its address'],
  [0x268, '0604070006040700', 'G_PAT: PAT after INIT (A.3)'],
  [0x310, '120f800000000000', 'RDX: CPUID(1).EAX of the vCPU model'],
  [0x3b0, '0100000000000000', 'SEV_FEATURES: SNPActive'],
  [0x3e8, '0100000000000000', 'XCR0: x87, after reset'],
  [0x408, '801f0000', 'MXCSR: after reset'],
];

describe('the save area of a vCPU under an SVSM', () => {
  const page = svsmVmsaPage(EIP, EPYC);

  it.each(ROWS.map(([at, bytes, what]) => [what, at, bytes] as const))('has %s', (_, at, bytes) => {
    expect(hex(page.subarray(at, at + bytes.length / 2))).toBe(bytes);
  });

  it('has no other byte that is not zero', () => {
    const rest = Uint8Array.from(page);
    for (const [at, bytes] of ROWS) rest.fill(0, at, at + bytes.length / 2);
    expect(rest.every((byte) => byte === 0)).toBe(true);
    expect(page).toHaveLength(4096);
  });
});

const guid = (text: string): Buffer => {
  const [a = '', b = '', c = '', ...rest] = text.split('-');
  const little = [a, b, c].map((part) => Buffer.from(part, 'hex').reverse());
  return Buffer.concat([...little, ...rest.map((part) => Buffer.from(part, 'hex'))]);
};
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
function footerEntry(data: Buffer, id: string): Buffer {
  const size = Buffer.alloc(2);
  size.writeUInt16LE(data.length + 18);
  return Buffer.concat([data, size, guid(id)]);
}

/** An SVSM image of three pages: memory, secrets, CPUID and calling area in its metadata. */
function svsmImage(): Buffer {
  const image = Buffer.from(Uint8Array.from({ length: 3 * 4096 }, (_, i) => (i * 31 + 7) % 256));
  const sections = [
    [0x80_0000, 0x2000, 1],
    [0x80_2000, 0x1000, 2],
    [0x80_3000, 0x1000, 3],
    [0x80_4000, 0x1000, 4],
  ];
  const header = [16 + 12 * sections.length, 1, sections.length];
  const metadata = Buffer.concat([Buffer.from('ASEV'), ...[...header, ...sections.flat()].map(u32)]);
  metadata.copy(image, 4096);
  const entries = Buffer.concat([
    footerEntry(u32(0x1234), 'a789a612-0597-4c4b-a49f-cbb1fe9d1ddd'),
    footerEntry(u32(image.length - 4096), 'dc886566-984a-4798-a75e-5585a7bf67cc'),
  ]);
  const footer = footerEntry(entries, '96b582de-1fb2-45f7-baea-a366c55a082d');
  footer.copy(image, image.length - 32 - footer.length);
  return image;
}

describe('measure snp --mode snp:svsm', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'cocosai-svsm-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const write = (name: string, bytes: Uint8Array): string => {
    const file = path.join(folder, name);
    writeFileSync(file, bytes);
    return file;
  };
  const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

  // By a separate program (Python's hashlib and struct), written from PAGE_INFO of the SNP ABI and the table above.
  it.each([
    ['1', '9b6e016cf68a98911dd4f4abc9174f7a57e53bedbe7be95cf15cc857fe6bf785dcc8cc50cb3710e5845ecc1b14796376'],
    ['4', 'a2e301ef87d99359a162d823222684f84019b52174986b8e312ffd0b5057a8f61753a4c2bb4508bbc4a1a873fbb73461'],
  ])('gives the digest of %s vCPUs that an independent program gives', async (vcpus, digest) => {
    const svsm = svsmImage();
    const firmware = Uint8Array.from({ length: 2 * 4096 }, (_, i) => (i * 5) % 256);
    // The program had these bytes.
    expect(sha256(svsm)).toBe('159d8e6deb4871adb80ab7eb23825155ef2fdc093832cfcd74599b79708b96c5');
    expect(sha256(firmware)).toBe('4afc42b1593c23a122648e83ec88c3e9aad2d43710e3dd73a488115846563c51');
    const run = await runCli(
      ...['measure', 'snp', '--mode', 'snp:svsm', '--ovmf', write('firmware', firmware)],
      ...['--svsm', write('svsm', svsm), '--vars-size', String(0x8_4000)],
      ...['--vcpus', vcpus, '--vcpu-type', 'EPYC-v4'],
    );
    expect(run).toMatchObject({ exit: 0, text: digest });
  });
});
