import { vi } from 'vitest';

/** Only ends what hangs: how long something takes is for the machine, which may be busy with other things. */
const PATIENCE = { timeout: 840_000, interval: 50 };

/** Repeats a check until it does not throw. */
export const eventually = <T>(check: () => T | Promise<T>): Promise<T> => vi.waitFor(check, PATIENCE);
