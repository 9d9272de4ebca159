import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { type Attacker, besiege } from '../harness/hostile/siege.ts';

/** Attacks until each kind was made; `npm run chaos:hostile -- --minutes 10 --seed N` goes on, and judges times. */
const ATTACKS: Readonly<Record<Attacker, number>> = { guest: 15, service: 12 };
const MEMORY_BAR = 256 * 2 ** 20;

it.each(['guest', 'service'] as const)(
  'a hostile %s neither stops a manager nor harms its other enclave, in bounded memory, and it restarts clean',
  async (attacker) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-h-'));
    const seed = Date.now() % 1_000_000;
    try {
      const { grownBytes, attacked } = await besiege({
        ...{ attacker, seed, folder, usualRequests: 1 },
        isOver: (attacks) => attacks.length >= ATTACKS[attacker],
      });
      expect(attacked.evidence.length).toBeGreaterThan(0);
      expect(grownBytes).toBeLessThan(MEMORY_BAR);
    } catch (cause) {
      throw new Error(`failed with the seed ${seed}`, { cause });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
