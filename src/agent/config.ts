import path from 'node:path';
import { z } from 'zod';
import { CocosError } from '../errors.ts';

/** Settings of the agent. In the guest there are none: everything is fixed by the measured image. */
export interface AgentConfig {
  readonly mode: 'guest' | 'process';
  /** Folder of the sockets that stand for vsock ports; process mode only. */
  readonly socketDir: string;
  /** Folder in memory for inputs and results. */
  readonly workDir: string;
}

const Environment = z.discriminatedUnion('COCOS_MODE', [
  z.object({ COCOS_MODE: z.literal('guest') }),
  z.object({
    COCOS_MODE: z.literal('process'),
    COCOS_SOCKETS: z.string().startsWith('/'),
    COCOS_WORK: z.string().startsWith('/'),
  }),
]);

const GUEST_WORK_DIR = '/cocos';

/** @throws CocosError CONFIG_INVALID */
export function readAgentConfig(environment: NodeJS.ProcessEnv): AgentConfig {
  const parsed = Environment.safeParse(environment);
  if (!parsed.success)
    throw new CocosError('CONFIG_INVALID', 'The agent is started by the manager or by the guest init.');
  const env = parsed.data;
  if (env.COCOS_MODE === 'guest') return { mode: 'guest', socketDir: '', workDir: GUEST_WORK_DIR };
  return {
    mode: 'process',
    socketDir: path.resolve(env.COCOS_SOCKETS),
    workDir: path.resolve(env.COCOS_WORK),
  };
}
