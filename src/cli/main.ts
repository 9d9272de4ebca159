#!/usr/bin/env node
import nodeModule from 'node:module';
import { exitOnFault } from '../runtime/fault.ts';
import { enableCompileCache } from './compile-cache.ts';

/** `cocos-cli`. The cache must be on before the code that it is for is loaded. */
enableCompileCache(nodeModule, process.env);
const { runCommandLine, showFault } = await import('./run.ts');
exitOnFault((thrown) => showFault(process.argv, thrown));
process.exitCode = await runCommandLine(process.argv, process.env);
