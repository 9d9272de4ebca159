#!/usr/bin/env node
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CocosError, EXIT } from '../errors.ts';
import { exitOnFault } from '../runtime/fault.ts';
import { mayRun } from '../runtime/program-arguments.ts';
import { MANAGER_SETTINGS, readManagerConfig } from './config.ts';
import { log } from './log.ts';
import { Manager } from './manager.ts';

/** `cocos-manager`: runs until SIGINT or SIGTERM; settings come from the environment (docs/operator.md). */
async function main(): Promise<void> {
  // The guests go on, and the next manager takes them over.
  exitOnFault((thrown, what) => {
    const { code, message } = CocosError.from(thrown);
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    log('error', 'the manager exits after a defect of its program', { what, code, reason: message, stack });
    return EXIT.internal;
  });
  const programDir = path.dirname(fileURLToPath(import.meta.url));
  const manager = await Manager.open(readManagerConfig(process.env, programDir), log);
  process.once('SIGINT', () => manager.requestStop());
  process.once('SIGTERM', () => manager.requestStop());
  await manager.start();
  await manager.ended();
  // Guests that go on would keep this process as well.
  process.exit(0);
}

const HELP = [
  'Creates and supervises enclaves until SIGINT or SIGTERM. Settings are taken from the environment',
  '(docs/operator.md explains each):',
  ...MANAGER_SETTINGS.map((name) => `  ${name}`),
];

if (mayRun('cocos-manager', HELP, process.argv.slice(2))) {
  main().catch((thrown: unknown) => {
    const error = CocosError.from(thrown);
    log('error', error.message, { code: error.code });
    // Guests that go on would keep this process as well.
    process.exit(error.exit);
  });
}
