import { describe, expect, it } from 'vitest';
import { quotasOf, type Reservation, requireQuota } from '../../../src/agent/transfers/quota-reservations.ts';
import { codeOf } from '../crypto/support.ts';

const MIB = 2 ** 20;
const ROOM = 1000 * MIB;
const limits = { seconds: 1, memoryMiB: 16, diskMiB: 1, processes: 1 };

describe('the quotas', () => {
  const open = (participant: string, size: number, arrived = 0): Reservation => ({
    ...{ participant, size, isOpen: true, remaining: size - arrived },
  });
  const committed = (participant: string, size: number): Reservation => ({
    ...{ participant, size, isOpen: false, remaining: 0 },
  });
  const sixteen = Array.from({ length: 16 }, () => open('a', 10 * MIB));

  it('of a manifest that sets none are the available memory and sixteen open uploads', () => {
    const ask = (existing: readonly Reservation[]) =>
      requireQuota(existing, { participant: 'a', size: 10 * MIB }, quotasOf(limits), ROOM);
    ask(sixteen.slice(1));
    expect(() => ask(sixteen)).toThrow(
      expect.objectContaining({
        code: 'QUOTA_EXCEEDED',
        details: { quota: 'participantTransfers', limit: 16, wanted: 17 },
      }),
    );
    // A committed input is not open any more.
    ask([committed('a', 10 * MIB), ...sixteen.slice(1)]);
  });

  it('limit the bytes of one participant, committed inputs included, to the byte', () => {
    const quotas = quotasOf({ ...limits, participantMiB: 2 });
    const ask = (existing: readonly Reservation[], participant: string, size: number) =>
      requireQuota(existing, { participant, size }, quotas, ROOM);
    const first = [committed('a', MIB)];
    expect(codeOf(() => ask(first, 'a', MIB + 1))).toBe('QUOTA_EXCEEDED');
    ask(first, 'a', MIB);
    const both = [...first, open('a', MIB)];
    expect(codeOf(() => ask(both, 'a', 1))).toBe('QUOTA_EXCEEDED');
    ask(both, 'b', 2 * MIB);
  });

  it('limit the bytes of all participants together', () => {
    const quotas = quotasOf({ ...limits, inputMiB: 2, participantMiB: 2 });
    const ask = (size: number) => requireQuota([open('a', MIB)], { participant: 'b', size }, quotas, ROOM);
    expect(() => ask(MIB + 1)).toThrow(
      expect.objectContaining({
        code: 'QUOTA_EXCEEDED',
        details: expect.objectContaining({ quota: 'inputBytes' }),
      }),
    );
    ask(MIB);
  });

  it('keep free the memory that is reserved for the bytes of other inputs', () => {
    const ask = (existing: readonly Reservation[], size: number, free: number) =>
      requireQuota(existing, { participant: 'b', size }, quotasOf(undefined), free);
    expect(codeOf(() => ask([open('a', 600)], 401, 1000))).toBe('LIMIT_EXCEEDED');
    // The file system already counts the 500 bytes that arrived; 100 remain reserved.
    expect(codeOf(() => ask([open('a', 600, 500)], 401, 500))).toBe('LIMIT_EXCEEDED');
    ask([open('a', 600, 500)], 400, 500);
    expect(codeOf(() => ask([], 1, -5))).toBe('LIMIT_EXCEEDED');
  });
});
