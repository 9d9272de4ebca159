import { DerReader, derError, oidText, readOnly, TAG } from '../x509/der.ts';
import type { DiceMode } from './policy-rules.ts';

/** TCG DICE attestation architecture, DiceTcbInfo: code digests and operational flags of one layer. */

export const OID_TCG_TCB_INFO = '2.23.133.5.4.1';

/** `[n] IMPLICIT` tags of the fields that are read. */
const TAG_FWIDS = 0xa6;
const TAG_FLAGS = 0x87;
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
 * Reads the first code digest and the mode.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseTcgTcbInfo(value: Uint8Array): {
  readonly digest: Uint8Array | null;
  readonly mode: DiceMode;
} {
  const reader = new DerReader(readOnly(value, TAG.sequence, 'TCB info').content);
  let digest: Uint8Array | null = null;
  let flags = 0;
  while (!reader.done) {
    const field = reader.next();
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
      flags = field.content[1] ?? 0;
    }
  }
  return { digest, mode: modeOf(flags) };
}
