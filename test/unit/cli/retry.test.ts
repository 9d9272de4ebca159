import { describe, expect, it } from 'vitest';
import { NO_BULK, retryTransfer } from '../../../src/cli/transfer/retry.ts';
import { CocosError } from '../../../src/errors.ts';

const broken = () => new CocosError('AGENT_UNAVAILABLE', 'cut');

async function outcomeOf(transfer: Promise<unknown>): Promise<unknown> {
  return transfer.catch((thrown: unknown) => CocosError.from(thrown).code);
}

describe('retryTransfer', () => {
  it('gives up after eight breaks without progress', async () => {
    const pauses: number[] = [];
    let attempts = 0;
    const transfer = retryTransfer(
      { grpcOnly: true, onBroken: () => undefined, pause: async (ms) => void pauses.push(ms) },
      async ({ resumesAt }) => {
        attempts += 1;
        resumesAt(5);
        throw broken();
      },
    );
    expect(await outcomeOf(transfer)).toBe('AGENT_UNAVAILABLE');
    expect(attempts).toBe(9);
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  });

  it('continues as long as each attempt resumes further on', async () => {
    let segments = 0;
    const transfer = retryTransfer(
      { grpcOnly: true, onBroken: () => undefined, pause: async () => undefined },
      async ({ resumesAt }) => {
        segments += 1;
        resumesAt(segments);
        if (segments < 40) throw broken();
        return 'done';
      },
    );
    expect(await outcomeOf(transfer)).toBe('done');
  });

  it('does not repeat after an error that is not a broken connection', async () => {
    let attempts = 0;
    const transfer = retryTransfer(
      { grpcOnly: false, onBroken: () => undefined, pause: async () => undefined },
      async () => {
        attempts += 1;
        throw new CocosError('CRYPTO_OPEN_FAILED', 'altered');
      },
    );
    expect(await outcomeOf(transfer)).toBe('CRYPTO_OPEN_FAILED');
    expect(attempts).toBe(1);
  });

  it('uses gRPC where there is no bulk stream, and tries the bulk stream again after a break', async () => {
    const paths: boolean[] = [];
    const transfer = retryTransfer(
      { grpcOnly: false, onBroken: () => undefined, pause: async () => undefined },
      async ({ isBulk }) => {
        paths.push(isBulk);
        if (paths.length === 2) throw broken();
        return isBulk ? NO_BULK : 'done';
      },
    );
    expect(await outcomeOf(transfer)).toBe('done');
    expect(paths).toEqual([true, false, true, false]);
  });
});
