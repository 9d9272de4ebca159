import { DerReader, derError, oidText, readOnly, TAG } from '../x509/der.ts';
import type { DiceMode } from './policy-rules.ts';

/** TCG DICE attestation architecture, DiceTcbInfo: code digests and operational flags of one layer. */

export const OID_TCG_TCB_INFO = '2.23.133.5.4.1';

/** `[n] IMPLICIT` tags of the fields that are read. */
const TAG_FWIDS = 0xa6;
const TAG_FLAGS = 0x87;
const TAG_NUMBER = 0x1f;
const MAX_FWIDS = 16;
/** Bits of the flags, from the left. */
const FLAG = { notConfigured: 0x80, notSecure: 0x40, recovery: 0x20, debug: 0x10 } as const;

function modeOf(flags: number): DiceMode {
  if ((flags & FLAG.debug) !== 0) return 'debug';
  if ((flags & FLAG.recovery) !== 0) return 'recovery';
  if ((flags & (FLAG.notConfigured | FLAG.notSecure)) !== 0) return 'not-configured';
  return 'normal';
}

/**
 * Reads the first code digest and the mode, which is unstated without flags. Fields come once, in their order.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseTcgTcbInfo(value: Uint8Array): {
  readonly digest: Uint8Array | null;
  readonly mode: DiceMode | 'unstated';
} {
  const reader = new DerReader(readOnly(value, TAG.sequence, 'TCB info').content);
  let digest: Uint8Array | null = null;
  let flags: number | null = null;
  let before = -1;
  while (!reader.done) {
    const field = reader.next();
    const place = field.tag & TAG_NUMBER;
    if (place <= before) throw derError('TCB info has a field twice, or in another order');
    before = place;
    if (field.tag === TAG_FWIDS) {
      const list = new DerReader(field.content);
      for (let count = 0; !list.done; count += 1) {
        if (count === MAX_FWIDS) throw derError('TCB info has too many digests');
        const fwid = new DerReader(list.expect(TAG.sequence, 'FWID').content);
        oidText(fwid.next(), 'hash algorithm');
        const bytes = fwid.expect(TAG.octetString, 'digest').content;
        fwid.end('FWID');
        digest ??= bytes;
      }
    } else if (field.tag === TAG_FLAGS) {
      const [unused = 8, first = 0] = field.content;
      if (unused > 7 || (field.content.length === 1 && unused > 0))
        throw derError('TCB info: the flags are no bits');
      flags = first;
    }
  }
  return { digest, mode: flags === null ? 'unstated' : modeOf(flags) };
}
