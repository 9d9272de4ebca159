import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  parseGetRandom,
  parseNothing,
  parsePcrRead,
  parseQuote,
} from '../../../../src/agent/evidence/tpm/responses.ts';
import { Tpm } from '../../../../src/agent/evidence/tpm/tpm.ts';

/** TPM2_GetRandom of four bytes: tag, size, success, TPM2B. */
const RANDOM = Buffer.from('80010000001000000000000401020304', 'hex');
/** TPM2_PCR_Read of PCR 0 of SHA-256: counter, one selection, one value. */
const PCR = Buffer.from(
  `80010000003e00000000${'00000005'}${'00000001000b03010000'}${'000000010020'}${'ab'.repeat(32)}`,
  'hex',
);

describe('responses', () => {
  it('are parsed as specified', () => {
    expect([...parseGetRandom(RANDOM)]).toEqual([1, 2, 3, 4]);
    const { counter, selections, values } = parsePcrRead(PCR);
    expect(counter).toBe(5);
    expect(selections).toEqual([{ bank: 'sha256', pcrs: [0] }]);
    expect(Buffer.from(values[0] ?? []).toString('hex')).toBe('ab'.repeat(32));
  });

  it('are refused when truncated at any byte', () => {
    for (const [bytes, parser] of [
      [RANDOM, parseGetRandom],
      [PCR, parsePcrRead],
    ] as const) {
      for (let length = 0; length < bytes.length; length++) {
        expect(() => parser(bytes.subarray(0, length))).toThrow(
          expect.objectContaining({ code: 'TPM_FAILED' }),
        );
      }
    }
  });

  it('are refused with trailing bytes', () => {
    const longer = Buffer.concat([RANDOM, Buffer.from([0])]);
    longer.writeUInt32BE(longer.length, 2);
    expect(() => parseGetRandom(longer)).toThrow(expect.objectContaining({ code: 'TPM_FAILED' }));
  });

  it('carry the response code of a refusal', () => {
    const refusal = Buffer.from('80010000000a00000984', 'hex');
    expect(() => parseNothing('FlushContext', refusal)).toThrow(
      expect.objectContaining({ code: 'TPM_FAILED', details: { responseCode: '0x984' } }),
    );
  });

  it('result only in a value or TPM_FAILED', () => {
    const answer = fc.uint8Array({ maxLength: 200 }).map((body) => {
      const bytes = Buffer.concat([Buffer.from('80020000000000000000', 'hex'), body]);
      bytes.writeUInt32BE(bytes.length, 2);
      return bytes;
    });
    fc.assert(
      fc.property(answer, (bytes) => {
        for (const parser of [parseQuote, parsePcrRead, parseGetRandom]) {
          try {
            parser(bytes);
          } catch (error) {
            expect(error).toMatchObject({ code: 'TPM_FAILED' });
          }
        }
      }),
    );
  });
});

describe('Tpm', () => {
  it('repeats a command while the TPM is busy, up to a limit', async () => {
    const busy = Buffer.from('80010000000a00000922', 'hex');
    let answers = [busy, busy, RANDOM];
    const tpm = new Tpm({ transmit: () => answers.shift() ?? busy });
    expect([...(await tpm.random(4))]).toEqual([1, 2, 3, 4]);
    answers = [];
    await expect(tpm.random(4)).rejects.toMatchObject({ details: { responseCode: '0x922' } });
  });

  it('refuses more random bytes than requested', async () => {
    const tpm = new Tpm({ transmit: () => RANDOM });
    await expect(tpm.random(3)).rejects.toMatchObject({ code: 'TPM_FAILED' });
  });
});
