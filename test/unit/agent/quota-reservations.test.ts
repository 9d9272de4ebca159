import { describe, expect, it } from 'vitest';
import { QuotaReservations, quotasOf } from '../../../src/agent/transfers/quota-reservations.ts';
import { codeOf } from '../crypto/support.ts';

const MIB = 2 ** 20;
const ROOM = 1000 * MIB;
const limits = { seconds: 1, memoryMiB: 16, diskMiB: 1, processes: 1 };

describe('quotas', () => {
  it('of a manifest that sets none are the room there is and sixteen uploads at once', () => {
    const reservations = new QuotaReservations();
    const admit = (id: string) =>
      reservations.reserve(id, { participant: 'a', size: 10 * MIB }, quotasOf(limits), ROOM);
    for (let id = 0; id < 16; id++) admit(String(id));
    expect(() => admit('one more')).toThrow(
      expect.objectContaining({
        code: 'QUOTA_EXCEEDED',
        details: { quota: 'participantTransfers', limit: 16, wanted: 17 },
      }),
    );
    // What is committed is not under way any more, and what was given up never was.
    reservations.commit('0');
    admit('17');
    expect(codeOf(() => admit('18'))).toBe('QUOTA_EXCEEDED');
    reservations.release('17');
    admit('18');
  });

  it('bound the bytes of one participant, committed ones as well, to the byte', () => {
    const reservations = new QuotaReservations();
    const quotas = quotasOf({ ...limits, participantMiB: 2 });
    const admit = (id: string, participant: string, size: number) =>
      reservations.reserve(id, { participant, size }, quotas, ROOM);
    admit('1', 'a', MIB);
    reservations.commit('1');
    expect(codeOf(() => admit('2', 'a', MIB + 1))).toBe('QUOTA_EXCEEDED');
    admit('2', 'a', MIB);
    expect(codeOf(() => admit('3', 'a', 1))).toBe('QUOTA_EXCEEDED');
    admit('3', 'b', 2 * MIB);
    reservations.clear();
    admit('4', 'a', 2 * MIB);
  });

  it('bound the bytes of all', () => {
    const reservations = new QuotaReservations();
    const quotas = quotasOf({ ...limits, inputMiB: 2, participantMiB: 2 });
    reservations.reserve('1', { participant: 'a', size: MIB }, quotas, ROOM);
    expect(() => reservations.reserve('2', { participant: 'b', size: MIB + 1 }, quotas, ROOM)).toThrow(
      expect.objectContaining({
        code: 'QUOTA_EXCEEDED',
        details: expect.objectContaining({ quota: 'inputBytes' }),
      }),
    );
    reservations.reserve('2', { participant: 'b', size: MIB }, quotas, ROOM);
  });

  it('leave the room that others were promised to them', () => {
    const reservations = new QuotaReservations();
    const admit = (id: string, size: number, free: number) =>
      reservations.reserve(id, { participant: id, size }, quotasOf(undefined), free);
    admit('1', 600, 1000);
    expect(codeOf(() => admit('2', 401, 1000))).toBe('LIMIT_EXCEEDED');
    reservations.arrived('1', 500);
    // The file system has given what has arrived, and holds 100 for the rest.
    expect(codeOf(() => admit('2', 401, 500))).toBe('LIMIT_EXCEEDED');
    admit('2', 400, 500);
    expect(codeOf(() => admit('3', 1, -5))).toBe('LIMIT_EXCEEDED');
  });
});
