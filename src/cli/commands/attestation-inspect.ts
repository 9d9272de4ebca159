import type { Command } from 'commander';
import { withoutControls } from '../../attestation/appraisal/format-verdict.ts';
import { isHashName } from '../../attestation/eventlog/algorithms.ts';
import { type EventLog, parseEventLog } from '../../attestation/eventlog/parse.ts';
import { registerName, replay } from '../../attestation/eventlog/replay.ts';
import { inspectEvidence } from '../../attestation/evidence/inspect.ts';
import { attestationCrypto as crypto } from '../../crypto/attestation-crypto.ts';
import { CocosError } from '../../errors.ts';
import type { CommandContext } from '../command-context.ts';
import { table } from '../output.ts';
import { inFile, readEvidence } from '../trust/evidence-files.ts';

/** `attestation inspect` and `attestation replay`: what evidence says, without a judgement. */

const MAX_SHOWN = 160;

/** Nested data as indented lines; control characters of the evidence do not reach the terminal. */
function lines(value: unknown, indent: string): string[] {
  if (Array.isArray(value)) {
    return value.flatMap((item: unknown, index) => entry(String(index + 1), item, indent));
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([name, item]) => entry(name, item, indent));
  }
  return [`${indent}${shown(value)}`];
}

function entry(name: string, value: unknown, indent: string): string[] {
  if (typeof value !== 'object' || value === null) return [`${indent}${name}: ${shown(value)}`];
  return [`${indent}${name}:`, ...lines(value, `${indent}  `)];
}

function shown(value: unknown): string {
  const text = withoutControls(String(value));
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

/** Banks to show: the one that was asked for, or the strongest one that the log has. */
function bankOf(log: EventLog, asked: string | undefined) {
  const bank =
    asked ?? (log.kind === 'rtmr' ? 'sha384' : log.banks.includes('sha256') ? 'sha256' : log.banks[0]);
  if (bank === undefined || !isHashName(bank)) throw new CocosError('USAGE', `${asked} is no bank.`);
  return bank;
}

function addReplay(parent: Command, context: CommandContext): void {
  parent
    .command('replay')
    .description('replay an event log to the values of PCRs or RTMRs')
    .argument('<file>')
    .option('--bank <name>', 'sha1, sha256, sha384 or sha512')
    .action(async (file: string, options: { readonly bank?: string }) => {
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
      context.output.result(`${bank}, ${log.events.length} events\n${table(rows)}`, json);
    });
}

export function addInspectCommands(parent: Command, context: CommandContext): void {
  parent
    .command('inspect')
    .description('show what a bundle, report, quote, event log or DICE chain says; nothing is verified')
    .argument('<file>')
    .action(async (file: string) => {
      const bytes = await readEvidence(file);
      const inspected = inFile(file, () => inspectEvidence(bytes, crypto));
      context.output.result(lines(inspected, '').join('\n'), inspected);
    });
  addReplay(parent, context);
}
