import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { cpuidSignature } from '../../src/attestation/measure/vcpu-types.ts';

const QEMU = 'qemu-system-x86_64';
const Models = z.object({ return: z.array(z.object({ name: z.string() })) });
const Expansion = z.object({
  return: z.object({
    model: z.object({ props: z.object({ family: z.number(), model: z.number(), stepping: z.number() }) }),
  }),
});

/** Asks a QEMU without a machine over QMP. */
async function ask<T>(
  work: (command: object) => Promise<unknown>,
  close: () => Promise<T>,
): Promise<Map<string, number>> {
  try {
    await work({ execute: 'qmp_capabilities' });
    const { return: models } = Models.parse(await work({ execute: 'query-cpu-definitions' }));
    const names = models.map(({ name }) => name).filter((name) => name.startsWith('EPYC'));
    const found = new Map<string, number>();
    for (const name of names) {
      const answer = await work({
        execute: 'query-cpu-model-expansion',
        arguments: { type: 'full', model: { name } },
      });
      const { family, model, stepping } = Expansion.parse(answer).return.model.props;
      const high = ((model >> 4) << 16) | ((family - 15) << 20);
      found.set(name, stepping | ((model & 0xf) << 4) | (Math.min(family, 15) << 8) | high);
    }
    return found;
  } finally {
    await close();
  }
}

describe.skipIf(spawnSync(QEMU, ['--version']).status !== 0)('vCPU models', () => {
  it('have the signature that the QEMU of this host gives them', async () => {
    const arguments_ = ['-M', 'none', '-accel', 'tcg', '-nodefaults', '-display', 'none', '-qmp', 'stdio'];
    const qemu = spawn(QEMU, arguments_, { stdio: ['pipe', 'pipe', 'ignore'] });
    const ended = once(qemu, 'exit');
    const lines = createInterface({ input: qemu.stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<unknown> => {
      for (;;) {
        const { value, done } = await lines.next();
        if (done === true) throw new Error('QEMU ended');
        const message: unknown = JSON.parse(value);
        if (typeof message === 'object' && message !== null && !('event' in message)) return message;
      }
    };
    const work = async (command: object): Promise<unknown> => {
      qemu.stdin.write(`${JSON.stringify(command)}\n`);
      return next();
    };
    await next();
    const found = await ask(work, async () => {
      qemu.kill();
      await ended;
    });
    expect(found.size).toBeGreaterThan(5);
    for (const [name, signature] of found) expect(cpuidSignature(name), name).toBe(signature);
  });
});
