import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Metadata, Server, ServerCredentials, status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCommandLine } from '../../../src/cli/run.ts';
import { ERRORS, type ErrorCode } from '../../../src/errors.ts';
import {
  type Actor,
  type ControlServiceServer,
  ControlServiceService,
} from '../../../src/rpc/gen/cocosai/control/v1/control.ts';
import { FORBIDDEN, hostileText } from '../../fakes/hostile-text.ts';

/** A manager that puts text of its choice into everything that it says. */

let folder: string;
let server: Server;
/** What the manager says at present. */
let text = '';
let atMs = 0;
let contextJson = '';
/** Null to answer; else the error that it answers with. */
let failure: { readonly code: string; readonly message: string; readonly details: unknown } | null = null;

function actor(): Actor {
  return {
    address: `enclave/${text}`,
    machine: 'enclave',
    state: `stopped.settled`,
    contextJson,
    legalEvents: [text],
  };
}

function refusal() {
  const metadata = new Metadata();
  metadata.set('cocos-error-bin', Buffer.from(JSON.stringify(failure)));
  return { code: status.INVALID_ARGUMENT, details: 'x', metadata };
}

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocos-hostile-'));
  server = new Server();
  const answer =
    <T>(value: () => T) =>
    (_call: unknown, done: (error: ReturnType<typeof refusal> | null, value?: T) => void) =>
      failure === null ? done(null, value()) : done(refusal());
  const service: ControlServiceServer = {
    getHost: answer(() => ({
      version: text,
      description: text,
      emulatedRootPem: text,
      emulatedRootDigest: text,
      platforms: [
        {
          platform: text,
          isAvailable: false,
          findings: [{ need: text, isMet: false, found: text, remedy: text }],
        },
      ],
      platform: text,
    })),
    createEnclave: answer(() => ({ actor: actor() })),
    removeEnclave: answer(() => ({})),
    listActors: answer(() => ({
      actors: [actor(), { ...actor(), machine: text, state: text }],
      hasMore: false,
    })),
    getActor: answer(() => ({ actor: actor(), participants: text })),
    sendEvent: answer(() => ({ actor: { ...actor(), state: text } })),
    watchActors: (call) => {
      call.write({ item: { $case: 'removed', value: text } });
      const moved = {
        sequence: 1,
        address: text,
        event: text,
        fromState: text,
        toState: text,
        atMs,
        contextJson,
      };
      call.write({ item: { $case: 'transition', value: moved } });
      call.write({ item: { $case: 'snapshot', value: actor() } });
      call.end();
    },
  };
  server.addService(ControlServiceService, service);
  const address = `unix:${path.join(folder, 'manager.sock')}`;
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    ),
  );
  writeFileSync(path.join(folder, 'policy.json'), '{}');
});
afterAll(() => {
  server.forceShutdown();
  rmSync(folder, { recursive: true, force: true });
});

/** Everything that a command writes. */
async function shown(args: readonly string[]): Promise<string> {
  const chunks: string[] = [];
  const spies = [process.stdout, process.stderr].map((stream) =>
    vi.spyOn(stream, 'write').mockImplementation((chunk) => {
      chunks.push(String(chunk));
      return true;
    }),
  );
  try {
    const environment = {
      HOME: '/nonexistent',
      COCOSAI_MANAGER: `unix:${path.join(folder, 'manager.sock')}`,
    };
    await runCommandLine(['node', 'cocos-cli', ...args], environment);
    return chunks.join('');
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

const COMMANDS: readonly (readonly string[])[] = [
  ['enclave', 'create', 'x', '--no-wait'],
  ['enclave', 'list'],
  ['enclave', 'show', 'x'],
  ['enclave', 'stop', 'x'],
  ['enclave', 'remove', 'x'],
  ['enclave', 'watch', 'x'],
  ['actors', 'list'],
  ['actors', 'show', 'x'],
  ['actors', 'send', 'x', 'enclave.stop'],
  ['actors', 'watch', 'x'],
  ['attestation', 'policy', '--out', '/nonexistent/policy'],
];

const says = fc.record({
  text: hostileText,
  atMs: fc.constantFrom(0, 1, Number.MAX_SAFE_INTEGER, 8.64e15),
  context: fc.dictionary(hostileText, fc.oneof(hostileText, fc.array(hostileText), fc.constant(null))),
  code: fc.constantFrom<string>(...(Object.keys(ERRORS) as ErrorCode[])),
});

describe('the commands, told anything by a hostile manager', () => {
  it.each(COMMANDS.map((args) => [args.slice(0, 2).join(' '), args] as const))(
    '%s writes no control characters, in text and in JSON',
    async (_, args) => {
      await fc.assert(
        fc.asyncProperty(says, fc.boolean(), async (said, fails) => {
          const cause = { code: said.code, message: said.text, details: { [said.text]: said.text } };
          ({ text, atMs } = said);
          const known = {
            name: text,
            mode: text,
            pid: text,
            measurement: text,
            relayAddress: text,
            logFile: text,
          };
          contextJson = JSON.stringify({ ...said.context, ...known, bootStep: text, cause });
          failure = fails ? cause : null;
          for (const form of ['text', 'json']) {
            const output = await shown([...args, '-o', form]);
            expect(output).not.toMatch(FORBIDDEN);
            // A time that no calendar has is not a defect of this program.
            expect(said.code === 'INTERNAL' && fails ? '' : output).not.toContain('failed unexpectedly');
          }
        }),
        { numRuns: 40 },
      );
    },
  );

  it('blame the manager, not themselves, for an answer that is not one', async () => {
    failure = null;
    text = 'x';
    for (contextJson of ['', '{', '7', 'null', '"x"']) {
      const output = await shown(['actors', 'show', 'x']);
      expect(output).toMatch(/^[A-Z_]+: The manager sent /);
    }
  });
});
