import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { AgentClient, type AgentSession } from '../../src/cli/transfer/agent-client.ts';
import { readTrust } from '../../src/cli/trust/trust.ts';
import { openTrustedSession } from '../../src/cli/trust/trusted-session.ts';
import { decodePrivateKeyFile } from '../../src/crypto/key-file.ts';
import { Manifest } from '../../src/machines/manifest.ts';
import { type LyingRelay, lyingRelay } from '../harness/lying-relay.ts';
import { type Recorded, record, segmentLies } from '../harness/segment-lies.ts';
import {
  type CliResult,
  makeParties,
  type Parties,
  PROCESS_REFERENCE,
  type System,
  show,
  startSystem,
  succeeded,
} from '../harness/system.ts';

/**
 * What a relay may do to what it carries, line by line: the real command line speaks through it with a real agent. Each
 * lie is refused by its code, moves nothing, and spoils nothing for the honest attempt after it. What participants may
 * try themselves is in `dishonest.test.ts`.
 */

const MIB = 2 ** 20;
/** Whole segments, so that the nonce alone tells the last of them from the others. */
const INPUT_BYTES = 12 * MIB;
const ALGORITHM = `
import os
with open(os.path.join(os.environ["COCOS_RESULTS"], "out"), "wb") as f:
    f.write(os.urandom(${4 * MIB}))
`;
const PATHS = [
  ['the bulk stream', 'bulk', []],
  ['gRPC', 'grpc', ['--grpc-only']],
] as const;

const other: Recorded = { piece: null };
const SEGMENT_LIES = Object.entries(segmentLies(other));
const Inputs = z.record(z.string(), z.looseObject({ status: z.string() }));

const altered = (bytes: Buffer) => Buffer.from(bytes.map((byte, index) => (index === 3 ? byte ^ 1 : byte)));

describe('a relay that lies', () => {
  let system: System;
  let parties: Parties;
  let relay: LyingRelay;
  let address: string;

  beforeAll(async () => {
    system = await startSystem({ COCOSAI_MODE: 'process' });
    const input = () => randomBytes(INPUT_BYTES / 2).toString('hex');
    parties = await makeParties(system, {
      algorithm: ALGORITHM,
      datasets: { bulk: input(), grpc: input(), third: input() },
      reference: PROCESS_REFERENCE,
    });
  });

  afterAll(async () => {
    expect(await system.stop()).toBe(0);
  });

  async function lieBefore(name: string): Promise<LyingRelay> {
    return lyingRelay((await relayOf(name)).replace(/^unix:/, ''));
  }

  async function relayOf(name: string): Promise<string> {
    const shown = await show(system, name);
    return String(shown.context['relayAddress']);
  }

  function refused(result: CliResult, code: string): void {
    expect(result.stderr).toMatch(new RegExp(`^${code}:`, 'm'));
    expect(result.code).not.toBe(0);
  }

  describe('about an upload', () => {
    beforeAll(async () => {
      succeeded(await system.cli('enclave', 'create', 'fed', '--manifest', parties.manifest));
      ({ address } = await show(system, 'fed'));
      relay = await lieBefore('fed');
      relay.lies = { up: record(other) };
      succeeded(await send('third'));
    });

    afterEach(() => {
      relay.lies = {};
    });

    afterAll(async () => {
      await relay.close();
    });

    const send = (input: string, options: readonly string[] = []) =>
      system.cli('data', 'fed', input, system.file(input), ...parties.trust('provider'), ...options);

    async function statusOf(input: string): Promise<string | undefined> {
      const { context } = await show(system, `${address}/computation`);
      return Inputs.parse(context['inputs'])[input]?.status;
    }

    describe.each(PATHS)('over %s', (_path, input, options) => {
      it.each(SEGMENT_LIES)('is refused when a segment is %s', async (_what, up) => {
        relay.lies = { up };
        relay.streams.length = 0;
        refused(await send(input, options), 'CRYPTO_OPEN_FAILED');
        expect(relay.streams).toEqual([input]);
        expect(await statusOf(input)).toBe('receiving');
      });

      it('spoils nothing: an honest attempt goes on to the end', async () => {
        succeeded(await send(input, options));
        expect(await statusOf(input)).toBe('committed');
      });
    });

    it('is refused when segments come after the last (gRPC; on the bulk stream nobody reads them)', async () => {
      succeeded(await system.cli('enclave', 'create', 'trailing', '--manifest', parties.manifest));
      const trailing = await lieBefore('trailing');
      try {
        trailing.lies.up = async function* (pieces) {
          for await (const piece of pieces) {
            yield piece;
            if (piece.last) yield piece;
          }
        };
        const args = ['data', 'trailing', 'grpc', system.file('grpc'), ...parties.trust('provider')];
        refused(await system.cli(...args, '--grpc-only'), 'STREAM_TRAILING');
      } finally {
        await trailing.close();
        succeeded(await system.cli('enclave', 'remove', 'trailing'));
      }
    });
  });

  describe('about a session', () => {
    let elsewhere: AgentClient;

    beforeAll(async () => {
      succeeded(await system.cli('enclave', 'create', 'asked', '--manifest', parties.manifest));
      succeeded(await system.cli('enclave', 'create', 'elsewhere', '--manifest', parties.manifest));
      elsewhere = await AgentClient.open(await relayOf('elsewhere'), {});
      relay = await lieBefore('asked');
    });

    afterEach(() => {
      relay.lies = {};
    });

    afterAll(async () => {
      await elsewhere.close();
      await relay.close();
    });

    const send = () => system.cli('data', 'asked', 'bulk', system.file('bulk'), ...parties.trust('provider'));

    it.each<[what: string, code: string, open: NonNullable<LyingRelay['lies']['openSession']>]>([
      ['in another role', 'SESSION_SIGNATURE', (open, pass) => pass({ ...open, role: 'algorithm' })],
      ['in a role that is none', 'INPUT_INVALID', (open, pass) => pass({ ...open, role: 'owner' })],
      [
        'under another name',
        'SESSION_SIGNATURE',
        (open, pass) => pass({ ...open, sessionId: randomBytes(16) }),
      ],
      [
        'for another participant',
        'SESSION_SIGNATURE',
        (open, pass) => pass({ ...open, participant: randomBytes(32) }),
      ],
      [
        'under another manifest',
        'MANIFEST_DIGEST_MISMATCH',
        (open, pass) => pass({ ...open, manifestDigest: `sha256:${'f'.repeat(64)}` }),
      ],
      [
        'on other evidence',
        'SESSION_EVIDENCE',
        (open, pass) => pass({ ...open, evidenceDigest: `sha256:${'f'.repeat(64)}` }),
      ],
      [
        'with a weaker AEAD (downgrade)',
        'SESSION_SIGNATURE',
        (open, pass) => pass({ ...open, aead: 'aes-256-gcm' }),
      ],
      [
        'with an AEAD that is none (downgrade)',
        'INPUT_INVALID',
        (open, pass) => pass({ ...open, aead: 'null' }),
      ],
      [
        'with a weaker KEM (downgrade)',
        'SESSION_SIGNATURE',
        (open, pass) => pass({ ...open, kem: 'x25519', enc: open.enc.subarray(-32) }),
      ],
      [
        'with an X-Wing ciphertext of a wrong length',
        'CRYPTO_KEY_INVALID',
        (open, pass) => pass({ ...open, enc: open.enc.subarray(1) }),
      ],
      [
        'twice',
        'SESSION_REPLAYED',
        async (open, pass) => {
          await pass(open);
          return pass(open);
        },
      ],
    ])('is refused when it is opened %s', async (_what, code, openSession) => {
      relay.lies = { openSession };
      refused(await send(), code);
    });

    it('is refused when it is opened in another enclave', async () => {
      const there = await lieBefore('elsewhere');
      try {
        let opened: Parameters<NonNullable<typeof relay.lies.openSession>>[0] | undefined;
        relay.lies.openSession = async (open) => {
          opened = open;
          return Promise.reject(Object.assign(new Error('kept back'), { code: 1, details: 'kept back' }));
        };
        await send();
        there.lies.openSession = (open, pass) => pass(opened ?? open);
        refused(
          await system.cli('data', 'elsewhere', 'bulk', system.file('bulk'), ...parties.trust('provider')),
          'SESSION_EVIDENCE',
        );
      } finally {
        await there.close();
      }
    });

    it.each<[what: string, code: string, call: NonNullable<LyingRelay['lies']['call']>]>([
      [
        'repeated',
        'SESSION_REPLAYED',
        async (call, pass) => {
          await pass(call);
          return pass(call);
        },
      ],
      [
        'altered',
        'CRYPTO_OPEN_FAILED',
        (call, pass) => pass({ ...call, ciphertext: altered(call.ciphertext) }),
      ],
      ['renumbered', 'CRYPTO_OPEN_FAILED', (call, pass) => pass({ ...call, sequence: call.sequence + 1 })],
      [
        'put into no session',
        'SESSION_NOT_FOUND',
        (call, pass) => pass({ ...call, sessionId: randomBytes(16) }),
      ],
      [
        'answered with an altered answer',
        'CRYPTO_OPEN_FAILED',
        async (call, pass) => {
          const answer = await pass(call);
          return { ...answer, ciphertext: altered(answer.ciphertext) };
        },
      ],
      [
        'answered with an earlier answer',
        'SESSION_REPLAYED',
        async (call, pass) => ({ ...(await pass(call)), sequence: 0 }),
      ],
    ])('is told when a message is %s', async (_what, code, call) => {
      relay.lies = { call };
      refused(await send(), code);
    });

    it('is told when a message is put into another session', async () => {
      const agent = await AgentClient.open(await relayOf('asked'), {});
      let id: Buffer | undefined;
      try {
        relay.lies = {
          openSession: (open, pass) => {
            id = open.sessionId;
            return pass(open);
          },
        };
        const session = await honestSession(agent);
        relay.lies = { call: (call, pass) => pass({ ...call, sessionId: id ?? call.sessionId }) };
        refused(await send(), 'CRYPTO_OPEN_FAILED');
        relay.lies = {};
        await session.close();
      } finally {
        await agent.close();
      }
    });

    async function honestSession(agent: AgentClient): Promise<AgentSession> {
      const { keys } = decodePrivateKeyFile(await readFile(system.file('provider.key'), 'utf8'));
      const manifest = Manifest.parse(JSON.parse(await readFile(parties.manifest, 'utf8')));
      const trust = await readTrust(parties, {});
      return (await openTrustedSession(agent, trust, manifest, keys, 'dataset')).session;
    }

    it('is spoilt by none of this', async () => {
      succeeded(await send());
    });
  });

  describe('about a result', () => {
    const trust = () => [
      ...['--manifest', system.file('results.json'), '--policy', parties.policy],
      ...['--reference', parties.reference],
    ];
    const provider = () => [...trust(), '--key', system.file('provider.key')];
    const consumer = () => [...trust(), '--key', system.file('consumer.key')];
    const get = (name: string, file: string, options: readonly string[] = []) =>
      system.cli('result', 'get', name, '--out', system.file(file), ...consumer(), ...options);

    beforeAll(async () => {
      const algorithm = `${system.file('algorithm')}@${system.file('provider.pub')}`;
      succeeded(
        await system.cli(
          ...['manifest', 'create', '--name', 'results', '--algorithm', algorithm],
          ...['--consumer', system.file('consumer.pub'), '--out', system.file('results.json')],
        ),
      );
      for (const name of ['made', 'other']) {
        succeeded(await system.cli('enclave', 'create', name, '--manifest', system.file('results.json')));
        succeeded(await system.cli('algo', name, system.file('algorithm'), ...provider()));
        succeeded(await system.cli('run', name, ...consumer()));
      }
      relay = await lieBefore('other');
      relay.lies = { down: record(other) };
      succeeded(await get('other', 'other.res'));
      await relay.close();
      relay = await lieBefore('made');
    });

    afterAll(async () => {
      await relay.close();
    });

    describe.each(PATHS)('over %s', (_path, name, options) => {
      it.each(SEGMENT_LIES)('is refused when a segment is %s', async (what, down) => {
        relay.lies = { down };
        relay.streams.length = 0;
        const file = `${name}-${what.replaceAll(' ', '-')}.res`;
        refused(await get('made', file, options), 'CRYPTO_OPEN_FAILED');
        expect(relay.streams).toEqual([name]);
        expect(existsSync(system.file(file))).toBe(false);
      });

      it('spoils nothing: an honest attempt goes on from where one was refused', async () => {
        relay.lies = {};
        succeeded(await get('made', `${name}-dropped.res`, options));
        const key = consumer();
        const out = ['--out', system.file(`${name}-opened`)];
        succeeded(await system.cli('result', 'open', system.file(`${name}-dropped.res`), ...key, ...out));
      });
    });
  });
});
