import { bytesToHex } from '@noble/hashes/utils.js';
import { describe, expect, it } from 'vitest';
import { guidBytes } from '../../../src/attestation/measure/guid.ts';
import { measureTd, withVariables } from '../../../src/attestation/measure/tdvf.ts';
import { attestationCrypto } from '../../../src/crypto/attestation-crypto.ts';

const IMAGE_BYTES = 0x5000;
const METADATA_AT = 0x4c00;
const VARIABLES_BYTES = 0x1000;

/** Data offset, data bytes, GPA, memory bytes, type, attributes. */
type Section = readonly [number, number, bigint, bigint, number, number];

const CODE: Section = [0x1000, 0x4000, 0xffff_c000n, 0x4000n, 0, 1];
const VARIABLES: Section = [0, VARIABLES_BYTES, 0xffff_b000n, 0x1000n, 1, 0];
const STACK: Section = [0, 0, 0x81_0000n, 0x2000n, 3, 0];
const HOB: Section = [0, 0, 0x80_9000n, 0x1000n, 2, 0];
const GIVEN_LATER: Section = [0, 0, 0x100_0000n, 0x4_0000n, 4, 2];

/** Firmware of bytes that follow a rule, with a footer table and the metadata that it points to. */
function firmware(sections: readonly Section[], version = 1): Uint8Array {
  const image = Uint8Array.from({ length: IMAGE_BYTES }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
  const view = new DataView(image.buffer);
  image.set(new TextEncoder().encode('TDVF'), METADATA_AT);
  view.setUint32(METADATA_AT + 4, 16 + 32 * sections.length, true);
  view.setUint32(METADATA_AT + 8, version, true);
  view.setUint32(METADATA_AT + 12, sections.length, true);
  sections.forEach(([offset, bytes, gpa, memory, type, attributes], index) => {
    const at = METADATA_AT + 16 + 32 * index;
    view.setUint32(at, offset, true);
    view.setUint32(at + 4, bytes, true);
    view.setBigUint64(at + 8, gpa, true);
    view.setBigUint64(at + 16, memory, true);
    view.setUint32(at + 24, type, true);
    view.setUint32(at + 28, attributes, true);
  });
  const footer = IMAGE_BYTES - 32 - 18;
  view.setUint16(footer, 18 + 22, true);
  image.set(guidBytes('96b582de-1fb2-45f7-baea-a366c55a082d'), footer + 2);
  view.setUint32(footer - 22, IMAGE_BYTES - METADATA_AT, true);
  view.setUint16(footer - 18, 22, true);
  image.set(guidBytes('e47a6535-984a-4798-865e-4685a7bf8ec2'), footer - 16);
  return image;
}

const mrtd = (image: Uint8Array): string | null => {
  const value = measureTd(image, attestationCrypto);
  return value === null ? null : bytesToHex(value);
};

describe('measureTd', () => {
  // Values of an independent implementation (aleph-im/aleph-vm, its module tdx_measurement) for the same bytes.
  it.each([
    [
      'code alone',
      [CODE],
      '6f738d32082cd5ecda249f494230c970aa454473c7a0006beda75a4feaae38d168339ae105d7bdb59242f33e03ba16c0',
    ],
    [
      'what firmware has',
      [CODE, VARIABLES, STACK, HOB],
      'b5f31b4326799fb5d92928fba0567714ae9792b52f65a6da2677cdba3800319ee406e3ed623863abe9a6c9218f36aa5f',
    ],
    [
      'another order',
      [HOB, STACK, VARIABLES, CODE],
      'e5c63cf68f1010ebb78a1d8900b90593bb635aff3a160150c0786ed0806827f159de93dd20d11539dc2e15daaa0984f1',
    ],
    [
      'memory that is not there at launch',
      [CODE, GIVEN_LATER],
      '4795ad0ecee7b9c0bf3ae5553bde68e1d0f2dc122b71d1fb7f7cb3032b5cf65ffa02c70c326345642bb34f150ac61720',
    ],
  ] as const)('of %s is what another program computes', (_, sections, expected) => {
    expect(mrtd(firmware(sections))).toBe(expected);
  });

  it('depends on the code, but not on the variables', () => {
    const image = firmware([CODE, VARIABLES]);
    expect(mrtd(withVariables(image, new Uint8Array(VARIABLES_BYTES)))).toBe(mrtd(image));
    const other = image.slice();
    other[0x2345] = (other[0x2345] ?? 0) ^ 1;
    expect(mrtd(other)).not.toBe(mrtd(image));
  });

  it('returns null for firmware without the metadata', () => {
    expect(mrtd(new Uint8Array(IMAGE_BYTES))).toBeNull();
  });

  it.each([
    ['an unknown version', firmware([CODE], 2)],
    ['a section outside of the image', firmware([[0x2000, 0x4000, 0xffff_c000n, 0x4000n, 0, 1]])],
    ['a section with more data than memory', firmware([[0x1000, 0x4000, 0xffff_c000n, 0x1000n, 0, 1]])],
    ['a section that is no range of pages', firmware([[0x1000, 0x100, 0xffff_c100n, 0x1000n, 0, 1]])],
    ['an address beyond all memory', firmware([[0, 0, 0xffff_ffff_ffff_f000n, 0x1000n, 3, 0]])],
    ['far too much memory', firmware([[0, 0, 0n, 0x100_0000_0000n, 3, 0]])],
  ])('refuses %s', (_, image) => {
    expect(() => mrtd(image)).toThrow(expect.objectContaining({ code: 'MEASURE_UNSUPPORTED' }));
  });

  it('refuses variables of another size', () => {
    const code = expect.objectContaining({ code: 'MEASURE_UNSUPPORTED' });
    expect(() => withVariables(firmware([CODE, VARIABLES]), new Uint8Array(8))).toThrow(code);
    expect(() => withVariables(firmware([CODE]), new Uint8Array(VARIABLES_BYTES))).toThrow(code);
  });
});
