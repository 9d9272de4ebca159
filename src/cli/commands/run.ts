import { CocosError } from '../../errors.ts';
import { ComputationStatus } from '../../rpc/sealed.ts';
import type { CommandContext } from '../command-context.ts';
import { asParticipant, type ParticipantOptions, runRole } from '../trust/participant.ts';

const READY = new Set(['resultsReady', 'delivered']);
const OVER = new Set(['failed', 'stopped']);

export function run(context: CommandContext, options: ParticipantOptions, enclave: string): Promise<void> {
  const { output } = context;
  return asParticipant(context, options, enclave, runRole, async ({ session, manifest }) => {
    const before = await session.call({ method: 'status' }, ComputationStatus);
    if (before.state === 'ready' && manifest.start !== 'auto') {
      await session.call({ method: 'run.start' }, ComputationStatus);
    }
    if (before.state === 'receiving') {
      const missing = Object.entries(before.inputs).filter(([, input]) => input.status !== 'committed');
      output.progress(`waiting for ${missing.map(([name]) => name).join(', ')}`);
    }
    for await (const item of session.follow()) {
      if (item.kind === 'log') {
        output.note(`${item.stream}: ${item.line}`);
        continue;
      }
      const { status } = item;
      output.progress(`computation: ${status.state}`);
      if (READY.has(status.state)) {
        output.result(
          `the result is ready: ${status.result?.size} bytes, sealed as ${status.result?.digest}`,
          status,
        );
        return;
      }
      if (OVER.has(status.state)) throw failureOf(status);
    }
    throw new CocosError(
      'AGENT_UNAVAILABLE',
      'The agent closed the connection before the run ended. Look at the enclave with: cocos-cli enclave show',
    );
  });
}

function failureOf({ state, cause }: ComputationStatus): CocosError {
  return CocosError.fromJson(
    cause ?? { code: 'COMPUTATION_FAILED', message: `The computation is ${state}.` },
  );
}
