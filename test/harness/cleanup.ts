import { afterAll } from 'vitest';
import { stopAll } from './system.ts';

/** Runs for every test file: a test that fails must leave nothing behind either. */
afterAll(stopAll);
