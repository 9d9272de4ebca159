import { encodeSigningKey } from '../../crypto/keys.ts';
import { CocosError } from '../../errors.ts';
import type { Manifest } from '../../machines/manifest.ts';
import { ComputationStatus } from '../../rpc/sealed.ts';
import type { CommandContext } from '../command-context.ts';
import type { Output } from '../output.ts';
import type { AgentSession } from '../transfer/agent-client.ts';
import { asParticipant, type ParticipantOptions, runRole } from '../trust/participant.ts';

const READY = new Set(['resultsReady', 'delivered']);
const OVER = new Set(['failed', 'stopped']);
/** Lines of the log that the error of a failed run repeats for programs, which are not shown the log as it comes. */
const TAIL_LINES = 20;

export function run(context: CommandContext, options: ParticipantOptions, enclave: string): Promise<void> {
  const { output } = context;
  return asParticipant(context, options, enclave, runRole, async ({ session, manifest, keys }) => {
    const party = partyOf(manifest, encodeSigningKey(keys.signing.publicKey));
    const tail: string[] = [];
    let asked = false;
    for await (const item of session.follow()) {
      if (item.kind === 'log') {
        const line = `${item.stream}: ${item.line}`;
        output.note(line);
        tail.push(line);
        if (tail.length > TAIL_LINES) tail.shift();
        continue;
      }
      const { status } = item;
      showProgress(output, status);
      if (status.state === 'ready' && !asked) {
        asked = true;
        await start(session, manifest, party, output);
      }
      if (READY.has(status.state)) {
        output.result(
          `the result is ready: ${status.result?.size} bytes, sealed as ${status.result?.digest}`,
          status,
        );
        return;
      }
      if (OVER.has(status.state)) throw failureOf(status, party, output.json ? tail : []);
    }
    throw new CocosError('AGENT_UNAVAILABLE', 'The agent closed the connection before the run ended.');
  });
}

interface Party {
  readonly mayStart: boolean;
  /** Whether, and if not why not, the party sees the log of the algorithm. */
  readonly log: 'shown' | 'of consumers' | 'off';
}

function partyOf(manifest: Manifest, signing: string): Party {
  const isConsumer = manifest.consumers.some((consumer) => consumer.signing === signing);
  return {
    mayStart: manifest.start !== 'auto' && manifest.start.includes(signing),
    log: manifest.disclosure?.log === 'off' ? 'off' : isConsumer ? 'shown' : 'of consumers',
  };
}

/** Starts the run, or says who may. */
async function start(session: AgentSession, manifest: Manifest, party: Party, output: Output): Promise<void> {
  if (manifest.start === 'auto') return;
  if (!party.mayStart) {
    output.note(
      `Your key may not start the run. One of these keys must do it, with cocos-cli run: ${manifest.start.join(', ')}. Waiting.`,
    );
    return;
  }
  await session.call({ method: 'run.start' }, ComputationStatus).catch((thrown: unknown) => {
    // Another party has started it meanwhile.
    if (CocosError.from(thrown).code !== 'STATE_EVENT_ILLEGAL') throw thrown;
  });
}

function showProgress(output: Output, { state, inputs }: ComputationStatus): void {
  const missing = Object.entries(inputs).filter(([, input]) => input.status !== 'committed');
  if (state === 'receiving') output.progress(`waiting for ${missing.map(([name]) => name).join(', ')}`);
  else output.progress(`computation: ${state}`);
}

const LOG_NOTES: Readonly<Record<Party['log'], string>> = {
  shown: 'The end of its log is above.',
  'of consumers':
    'Its log is sealed to the consumers of the manifest: one of them sees it with cocos-cli run.',
  off: 'The manifest turns the log off (disclosure.log).',
};

function failureOf({ state, cause }: ComputationStatus, { log }: Party, tail: readonly string[]): CocosError {
  if (cause === null) return new CocosError('COMPUTATION_FAILED', `The computation is ${state}.`);
  const { code, message, details } = cause;
  // The log says why only if the algorithm ran.
  const note = code.startsWith('ALGORITHM_') ? ` ${LOG_NOTES[log]}` : '';
  return new CocosError(code, `${message}${note}`, {
    details: { ...details, ...(tail.length === 0 ? {} : { log: tail }) },
  });
}
