import path from 'node:path';
import { z } from 'zod';
import { CocosError } from '../errors.ts';
import { ATTESTATION_LIMITS, type AttestationLimits } from '../machines/attestation.machine.ts';
import { TRANSFER_WAIT_MS } from '../machines/transfer.machine.ts';
import { seconds } from '../runtime/time-spans.ts';
import { schemaProblems } from '../schema-problems.ts';

/** This program in the guest. */
export const GUEST_PROGRAM = '/usr/lib/cocos/agent.js';

/** Settings of the agent. The guest has none: the measured image fixes everything. */
export interface AgentConfig {
  readonly mode: 'guest' | 'process';
  /** Folder of the unix sockets that replace vsock ports; process mode only. */
  readonly socketDir: string;
  /** Folder for inputs and results, in memory. */
  readonly workDir: string;
  readonly limits: AttestationLimits;
  /** How long a transfer waits for its sender; milliseconds. */
  readonly transferWaitMs: number;
  /** File to which every transition is appended; undefined for none. */
  readonly traceFile: string | undefined;
}

const Environment = z.discriminatedUnion('COCOS_MODE', [
  z.object({ COCOS_MODE: z.literal('guest') }),
  z.object({
    COCOS_MODE: z.literal('process'),
    COCOS_SOCKETS: z.string().startsWith('/'),
    COCOS_WORK: z.string().startsWith('/'),
    COCOSAI_COLLECT_SECONDS: seconds(ATTESTATION_LIMITS.collectMs),
    COCOSAI_EVIDENCE_SECONDS: seconds(ATTESTATION_LIMITS.evidenceMs),
    COCOSAI_SESSION_SECONDS: seconds(ATTESTATION_LIMITS.idleMs),
    COCOSAI_TRANSFER_SECONDS: seconds(TRANSFER_WAIT_MS),
    COCOSAI_TRACE: z.string().optional(),
  }),
]);

const GUEST_WORK_DIR = '/cocos';

/** @throws CocosError CONFIG_INVALID */
export function readAgentConfig(environment: NodeJS.ProcessEnv): AgentConfig {
  const parsed = Environment.safeParse(environment);
  if (!parsed.success)
    throw new CocosError(
      'CONFIG_INVALID',
      `The agent's settings are invalid at ${schemaProblems(parsed.error, environment).join('; ')}. The manager or the guest's init must start it.`,
    );
  const env = parsed.data;
  if (env.COCOS_MODE === 'guest') {
    return {
      mode: 'guest',
      socketDir: '',
      workDir: GUEST_WORK_DIR,
      limits: ATTESTATION_LIMITS,
      transferWaitMs: TRANSFER_WAIT_MS,
      traceFile: undefined,
    };
  }
  return {
    mode: 'process',
    socketDir: path.resolve(env.COCOS_SOCKETS),
    workDir: path.resolve(env.COCOS_WORK),
    limits: {
      collectMs: env.COCOSAI_COLLECT_SECONDS,
      evidenceMs: env.COCOSAI_EVIDENCE_SECONDS,
      idleMs: env.COCOSAI_SESSION_SECONDS,
    },
    transferWaitMs: env.COCOSAI_TRANSFER_SECONDS,
    traceFile: env.COCOSAI_TRACE,
  };
}
