import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lyingRelay } from '../harness/lying-relay.ts';
import {
  makeParties,
  type Parties,
  PROCESS_REFERENCE,
  type System,
  show,
  startSystem,
  succeeded,
} from '../harness/system.ts';

/** One result, four consumers at once, and a fifth key. */

const MIB = 2 ** 20;
const CONSUMERS = ['consumer', 'second', 'third', 'fourth'];
const ALGORITHM = `
import os
print("\\x1b]0;owned\\x07\\x1b[2J ACCEPTED \\u202e")
with open(os.path.join(os.environ["COCOS_RESULTS"], "out"), "wb") as f:
    f.write(b"result" * ${2 * MIB})
`;

describe('a result', () => {
  let system: System;
  let parties: Parties;
  let log: string;

  beforeAll(async () => {
    system = await startSystem({ COCOSAI_MODE: 'process' });
    const others = CONSUMERS.slice(1);
    for (const name of others) succeeded(await system.cli('keys', 'generate', name, '--out', system.folder));
    parties = await makeParties(system, {
      algorithm: ALGORITHM,
      datasets: {},
      reference: PROCESS_REFERENCE,
      manifest: others.flatMap((name) => ['--consumer', system.file(`${name}.pub`)]),
    });
    succeeded(await system.cli('enclave', 'create', 'job', '--manifest', parties.manifest));
    succeeded(await system.cli('algo', 'job', system.file('algorithm'), ...parties.trust('provider')));
    log = succeeded(await system.cli('run', 'job', ...parties.trust('consumer'))).stderr;
  });

  afterAll(async () => {
    expect(await system.stop()).toBe(0);
  });

  const get = (name: string, ...more: string[]) =>
    system.cli('result', 'get', 'job', '--out', system.file(`${name}.res`), ...parties.trust(name), ...more);
  const open = (file: string, key: string) =>
    system.cli(
      'result',
      'open',
      file,
      '--out',
      system.file(`${path.basename(file)}-${key}`),
      ...parties.trust(key),
    );

  it('comes with log lines that carry no control characters to the terminal', () => {
    // An honest agent replaces the first ones itself.
    expect(log).toContain('ACCEPTED \\u202e');
    expect(log).not.toMatch(/[\p{Cf}]|(?!\n)\p{Cc}/u);
  });

  it('is delivered to all its consumers at once over either path, and to nobody else', async () => {
    const [last = '', ...others] = CONSUMERS;
    const fetched = await Promise.all([...others.map((name) => get(name)), get(last, '--grpc-only')]);
    for (const each of fetched) succeeded(each);
    for (const name of CONSUMERS) {
      succeeded(await open(system.file(`${name}.res`), name));
      expect(
        readFileSync(system.file(`${name}.res-${name}`, 'out')).equals(Buffer.from('result'.repeat(2 * MIB))),
      ).toBe(true);
    }
    expect(await get('stranger')).toMatchObject({ stderr: expect.stringMatching(/^KEY_NOT_IN_MANIFEST/m) });
    const stolen = await open(system.file('second.res'), 'stranger');
    expect(stolen).toMatchObject({ code: 2, stderr: expect.stringMatching(/^CRYPTO_OPEN_FAILED/m) });
    // Each consumer's file is sealed to that consumer.
    expect(await open(system.file('second.res'), 'third')).toMatchObject({ code: 2 });
  });

  it('is fetched from where an interrupted fetch stopped', async () => {
    const whole = readFileSync(system.file('second.res'));
    const cut = whole.subarray(0, 5 * MIB + 123);
    writeFileSync(system.file('again.res.part'), cut);
    copyFileSync(system.file('second.key'), system.file('again.key'));
    succeeded(await get('again'));
    // All but the audit record, which tells of the new challenge.
    const fetched = readFileSync(system.file('again.res'));
    expect(fetched.subarray(0, 10 * MIB).equals(whole.subarray(0, 10 * MIB))).toBe(true);
    // A part of something else is not gone on with.
    writeFileSync(system.file('third2.res.part'), Buffer.from('COCOSRES and more'));
    copyFileSync(system.file('third.key'), system.file('third2.key'));
    succeeded(await get('third2'));
    succeeded(await open(system.file('third2.res'), 'third2'));
  });

  it('is confirmed and not fetched again if its file is complete; another file is not overwritten', async () => {
    const enclave = await show(system, 'job');
    const before = readFileSync(system.file('fourth.res'));
    const relay = await lyingRelay(String(enclave.context['relayAddress']).replace(/^unix:/, ''));
    try {
      succeeded(await get('fourth'));
      expect(relay.streams).toEqual([]);
      expect(readFileSync(system.file('fourth.res')).equals(before)).toBe(true);
      const another = (name: string, content: Uint8Array) => {
        copyFileSync(system.file('fourth.key'), system.file(`${name}.key`));
        writeFileSync(system.file(`${name}.res`), content);
      };
      another('cut', before.subarray(0, -1));
      another('foreign', readFileSync(system.file('third.res')));
      another('mine', Buffer.from('mine'));
      for (const name of ['cut', 'foreign', 'mine']) {
        const held = readFileSync(system.file(`${name}.res`));
        expect(await get(name)).toMatchObject({ code: 73, stderr: expect.stringMatching(/^FILE_EXISTS/m) });
        expect(readFileSync(system.file(`${name}.res`)).equals(held)).toBe(true);
      }
      expect(relay.streams).toEqual([]);
    } finally {
      await relay.close();
    }
  });

  it('is delivered by a repeated command if the confirmation was lost', async () => {
    succeeded(await system.cli('enclave', 'create', 'again', '--manifest', parties.manifest));
    succeeded(await system.cli('algo', 'again', system.file('algorithm'), ...parties.trust('provider')));
    succeeded(await system.cli('run', 'again', ...parties.trust('consumer')));
    const enclave = await show(system, 'again');
    const relay = await lyingRelay(String(enclave.context['relayAddress']).replace(/^unix:/, ''));
    const take = () => {
      const to = ['--out', system.file('lost.res'), ...parties.trust('consumer')];
      return system.cli('result', 'get', 'again', ...to);
    };
    const delivered = async () =>
      (await show(system, `${enclave.address}/computation`)).context['delivered'] as unknown[];
    try {
      // The opening of the result passes, and no call after it.
      let calls = 0;
      relay.lies.call = (call, pass) =>
        calls++ === 0
          ? pass(call)
          : Promise.reject(Object.assign(new Error('cut'), { code: 14, details: 'cut' }));
      expect(await take()).toMatchObject({ code: 69, stderr: expect.stringMatching(/^AGENT_UNAVAILABLE/m) });
      expect(await delivered()).toEqual([]);
      relay.lies = {};
      succeeded(await take());
      expect(await delivered()).toHaveLength(1);
    } finally {
      await relay.close();
    }
  });

  it('does not open if a byte of its segments was altered, and leaves no file', async () => {
    const bytes = Buffer.from(readFileSync(system.file('consumer.res')));
    bytes.writeUInt8(bytes.readUInt8(6 * MIB) ^ 1, 6 * MIB);
    writeFileSync(system.file('altered.res'), bytes);
    const verified = await system.cli(
      'result',
      'verify',
      system.file('altered.res'),
      ...parties.trust('consumer'),
    );
    expect(verified).toMatchObject({
      code: 2,
      stdout: expect.stringMatching(
        /^REJECTED\n\d+ passed, \d+ failed, \d+ not checked: .*\nok +receipt.*\nFAILED +body/,
      ),
    });
    expect(await open(system.file('altered.res'), 'consumer')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^RESULT_INVALID/m),
    });
    expect(() => readFileSync(system.file('altered.res-consumer', 'out'))).toThrow();
  });
});
