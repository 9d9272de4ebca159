import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { buildSync } from 'esbuild';
import { z } from 'zod';
import { PROCESS_REFERENCE, ROOT } from '../harness/system.ts';

/** A program that a manager starts as its agent, and that can be changed between one enclave and the next. */
export class ChangingAgent {
  readonly program: string;
  private readonly odd: string;

  /** @param odd source of the agent that does not do its part */
  constructor(folder: string, odd = path.join(import.meta.dirname, 'odd-agent.ts')) {
    this.program = path.join(folder, 'agent.cjs');
    this.odd = path.join(folder, 'odd.cjs');
    buildSync({
      entryPoints: [odd],
      outfile: this.odd,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      logLevel: 'silent',
      external: ['*.node', 'node-vsock'],
      define: { 'import.meta.url': '"file:///"' },
    });
  }

  /** From now on an agent that does not do its part; see its source. Its first line names its kind. */
  becomeOdd(kind: string, settings: Readonly<Record<string, string>> = {}): void {
    const given = Object.entries({ COCOS_ODD: kind, ...settings });
    const lines = given.map(([name, value]) => `process.env.${name} ??= ${JSON.stringify(value)};\n`);
    const text = `console.log('odd ${kind}');\n${lines.join('')}require(${JSON.stringify(this.odd)});\n`;
    writeFileSync(this.program, text);
  }

  /** From now on the real agent, after this. */
  becomeReal(prelude: string): void {
    const agent = JSON.stringify(path.join(ROOT, 'dist/cocos-agent.js'));
    writeFileSync(this.program, `${prelude}\nimport(${agent});\n`);
  }

  /** Reference values of parties that rely on the program as it is now. */
  reference(): string {
    const values = z.looseObject({ process: z.looseObject({}) });
    const { process: own, ...others } = values.parse(JSON.parse(readFileSync(PROCESS_REFERENCE, 'utf8')));
    const agent = createHash('sha256').update(readFileSync(this.program)).digest('hex');
    const file = `${this.program}.reference.json`;
    writeFileSync(file, JSON.stringify({ ...others, process: { ...own, agent } }));
    return file;
  }
}

/**
 * Makes the runtime of a program refuse timers of about five minutes for as long as `file` is there: what arms such a
 * timer throws, wherever that is.
 */
export function refuseTimers(file: string): string {
  return `{
    const arm = globalThis.setTimeout;
    globalThis.setTimeout = (run, ms, ...rest) => {
      if (ms > 280_000 && ms <= 300_000 && require('node:fs').existsSync(${JSON.stringify(file)})) {
        throw new Error('the runtime has no timer left');
      }
      return arm(run, ms, ...rest);
    };
  }`;
}

/** In seconds: a wait whose timer `refuseTimers` refuses. */
export const REFUSED_SECONDS = 300;
