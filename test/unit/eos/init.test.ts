import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const script = readFileSync(new URL('../../../eos/init/init.sh', import.meta.url), 'utf8');
const lines = script.split('\n');
const lineOf = (text: string) => lines.findIndex((line) => line.includes(text));

/** The kernel prints names of processes, which an algorithm chooses, on the console that the host reads. */
describe("the guest's init", () => {
  it('silences the console of the kernel after the last boot step and before the agent starts', () => {
    const lastStep = lines.findLastIndex((line) => /^step /.test(line));
    const silence = lineOf('set_to kernel/printk "1 ');
    expect(silence).toBeGreaterThan(lastStep);
    expect(silence).toBeLessThan(lineOf('/usr/bin/node'));
  });

  it('keeps processes out of the messages about used up memory', () => {
    expect(lineOf('set_if_there vm/oom_dump_tasks 0')).toBeGreaterThan(0);
  });

  it('prints nothing of its own between the start of the agent and its end', () => {
    const after = lines.slice(lineOf('set_to kernel/printk "1 ')).filter((line) => /^\s*echo /.test(line));
    expect(after.filter((line) => !line.includes('>'))).toEqual(['echo "COCOS-AGENT-EXIT $?"']);
  });

  it('is a valid shell script', () => {
    expect(spawnSync('sh', ['-n'], { input: script }).status).toBe(0);
  });
});
