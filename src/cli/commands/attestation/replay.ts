import { isHashName } from '../../../attestation/eventlog/algorithms.ts';
import { type EventLog, registerName } from '../../../attestation/eventlog/log.ts';
import { parseEventLog } from '../../../attestation/eventlog/parse.ts';
import { replay } from '../../../attestation/eventlog/replay.ts';
import { attestationCrypto as crypto } from '../../../crypto/attestation-crypto.ts';
import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { table } from '../../output.ts';
import { inFile, readEvidence } from '../../trust/evidence-files.ts';

interface Options {
  readonly bank?: string;
}

export async function run({ output }: CommandContext, options: Options, file: string): Promise<void> {
  const bytes = await readEvidence(file);
  const log = inFile(file, () => parseEventLog(bytes));
  const bank = bankOf(log, options.bank);
  const values = [...inFile(file, () => replay(log, bank, crypto))].toSorted(([a], [b]) => a - b);
  const hex = (value: Uint8Array) => Buffer.from(value).toString('hex');
  const rtmrs = log.kind === 'rtmr' ? new Map(values) : null;
  const zero = new Uint8Array(48);
  const named: [string, string][] =
    rtmrs === null
      ? values.map(([index, value]) => [String(index), hex(value)])
      : [1, 2, 3, 4].map((index) => [`rtmr${index - 1}`, hex(rtmrs.get(index) ?? zero)]);
  const rows =
    rtmrs === null
      ? values.map(([index, value]) => [registerName(log, index), hex(value)])
      : named.map(([name, value]) => [name.toUpperCase(), value]);
  const json = { of: log.kind, bank, events: log.events.length, values: Object.fromEntries(named) };
  output.result([`${bank}, ${log.events.length} events`, ...table(rows)], json);
}

/** The requested bank, or the strongest one in the log. */
function bankOf(log: EventLog, asked: string | undefined) {
  const bank =
    asked ?? (log.kind === 'rtmr' ? 'sha384' : log.banks.includes('sha256') ? 'sha256' : log.banks[0]);
  if (bank === undefined) {
    throw new CocosError(
      'EVIDENCE_INVALID',
      'The event log has no digests of a known algorithm: only sha1, sha256, sha384 and sha512 can be replayed.',
    );
  }
  if (isHashName(bank)) return bank;
  throw new CocosError(
    'USAGE',
    `Invalid value '${bank}' for --bank: expected sha1, sha256, sha384 or sha512.`,
  );
}
