#!/usr/bin/env node
import nodeModule from 'node:module';
import { enableCompileCache } from './compile-cache.ts';

/** `cocos-cli`. The cache must be on before the code that it is for is loaded. */
enableCompileCache(nodeModule, process.env);
const { endOnUnhandled, runCommandLine } = await import('./run.ts');
endOnUnhandled(process.argv);
process.exitCode = await runCommandLine(process.argv, process.env);
