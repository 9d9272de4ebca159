#!/usr/bin/env node
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CocosError } from '../errors.ts';
import { readManagerConfig } from './config.ts';
import { log } from './log.ts';
import { Manager } from './manager.ts';

/** `cocos-manager`: runs until SIGINT or SIGTERM; settings come from the environment (docs/operator.md). */
async function main(): Promise<void> {
  const programDir = path.dirname(fileURLToPath(import.meta.url));
  const manager = new Manager(readManagerConfig(process.env, programDir), log);
  process.once('SIGINT', () => manager.requestStop());
  process.once('SIGTERM', () => manager.requestStop());
  await manager.start();
  await manager.ended();
}

main().catch((thrown: unknown) => {
  const error = CocosError.from(thrown);
  log('error', error.message, { code: error.code });
  process.exitCode = error.exit;
});
