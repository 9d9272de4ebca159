import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type CliOutcome, Host, ROOT } from './demo/programs.ts';
import { indent, Steps } from './demo/steps.ts';
import { agree, Regression, readHalves, regressionInTheClear } from './demo/wages.ts';

/**
 * The main job, end to end: two data providers, an algorithm provider and a consumer who trust neither each
 * other nor the host compute a regression in one enclave. `--process` runs it without a virtual machine.
 */
const processMode = process.argv.includes('--process');
const steps = new Steps();
const folder = await mkdtemp(path.join(os.tmpdir(), 'cocos-demo-'));
const hosts: Host[] = [];
const at = (...names: string[]) => path.join(folder, ...names);
const reference = path.join(ROOT, processMode ? 'dist' : 'build/eos', 'reference-values.json');

const parties = {
  alice: 'brings the first half of the data',
  bob: 'brings the second half of the data',
  carol: 'brings the algorithm',
  dave: 'receives the result',
} as const;
type Party = keyof typeof parties;

function createHost(name: string, settings: NodeJS.ProcessEnv = {}): Host {
  const host = new Host(folder, {
    COCOSAI_STATE_DIR: at(`${name}-state`),
    COCOSAI_RUN_DIR: at(name),
    COCOSAI_ON_STOP: 'stop',
    COCOSAI_MODE: processMode ? 'process' : 'vm',
    ...settings,
  });
  hosts.push(host);
  return host;
}

/** The command's output. Anything but the expected exit code ends the demo. */
async function expect(outcome: Promise<CliOutcome>, code = 0): Promise<string> {
  const { code: found, stdout, stderr } = await outcome;
  if (found === code) return code === 0 ? stdout : stderr;
  throw new Error(`a command ended with ${found} where ${code} was expected:\n${stdout}${stderr}`);
}

function trustOf(party: string): string[] {
  return [
    ['--manifest', at('manifest.json')],
    ['--key', at(`${party}.key`)],
    ['--policy', at('policy.json')],
    ['--reference', reference],
  ].flat();
}

/** One party challenges the enclave with its own nonce and appraises what comes back. */
async function verify(host: Host, party: Party): Promise<string> {
  const nonce = randomBytes(32).toString('hex');
  const file = at(`${party}.evidence`);
  await expect(host.cli('attestation', 'get', 'wages', '--nonce', nonce, '--out', file));
  const options = ['--policy', at('policy.json'), '--reference', reference, '--nonce', nonce];
  return expect(host.cli('attestation', 'verify', file, ...options, '--manifest', at('manifest.json')));
}

/** An image that the host has changed: the same system with another agent. */
async function alteredImage(): Promise<NodeJS.ProcessEnv> {
  if (processMode) {
    const program = at('altered-agent.mjs');
    const agent = readFileSync(path.join(ROOT, 'dist/cocos-agent.js'), 'utf8');
    await writeFile(program, `${agent}\n// what the host added\n`);
    return { COCOSAI_AGENT: program };
  }
  const entry = 'build/altered-agent.ts';
  await writeFile(
    path.join(ROOT, entry),
    "import '../src/agent/main.ts';\nconsole.log('what the host added');\n",
  );
  const out = at('altered-image');
  const tsx = path.join(ROOT, 'node_modules/tsx/dist/cli.mjs');
  const built = spawnSync(process.execPath, [tsx, 'eos/build.ts', '--out', out, '--agent', entry], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  if (built.status !== 0) throw new Error(`the altered image was not built:\n${built.stdout}${built.stderr}`);
  return { COCOSAI_EOS_DIR: out };
}

async function demo(): Promise<void> {
  const halves = readHalves();
  const host = createHost('run');

  await steps.run('The host starts its manager', async () => {
    await host.ready();
    host.watch((line) => console.log(`   │ ${line}`));
    return {
      outcome: processMode ? 'process mode: no virtual machine' : 'virtual machines under QEMU',
      value: null,
    };
  });

  await steps.run('Four parties make their keys', async () => {
    for (const [party, part] of Object.entries(parties)) {
      const made = await expect(host.cli('keys', 'generate', party, '--out', folder));
      console.log(`   ${party} ${part}: ${made.split('\n')[0]}`);
    }
    await writeFile(at('first.csv'), halves.first);
    await writeFile(at('second.csv'), halves.second);
    await cp(path.join(ROOT, 'examples/wages/regression.py'), at('regression.py'));
    return { outcome: 'private keys stay with their owners', value: null };
  });

  await steps.run('They agree on a manifest', async () => {
    const made = await expect(
      host.cli(
        ...['manifest', 'create', '--name', 'Wages by education', '--kind', 'python'],
        ...['--algorithm', `${at('regression.py')}@${at('carol.pub')}`],
        ...['--dataset', `first.csv=${at('first.csv')}@${at('alice.pub')}`],
        ...['--dataset', `second.csv=${at('second.csv')}@${at('bob.pub')}`],
        ...['--consumer', at('dave.pub'), '--out', at('manifest.json')],
      ),
    );
    console.log(indent(await expect(host.cli('manifest', 'show', at('manifest.json')))));
    return { outcome: made.split('\n')[0] ?? '', value: null };
  });

  await steps.run('The host creates the enclave', async () => {
    const made = await expect(host.cli('enclave', 'create', 'wages', '--manifest', at('manifest.json')));
    console.log(indent(made));
    return { outcome: 'ready; it proved nothing yet', value: null };
  });

  await steps.run('Every party verifies the enclave before it sends anything', async () => {
    const policy = await expect(host.cli('attestation', 'policy', '--out', at('policy.json')));
    console.log(indent(policy.split('\n')[0] ?? ''));
    const names: Party[] = ['alice', 'bob', 'carol', 'dave'];
    for (const party of names) {
      const verdict = await verify(host, party);
      console.log(
        indent(party === 'alice' ? `alice sees:\n${verdict}` : `${party}: ${verdict.split('\n')[0]}`),
      );
    }
    return { outcome: 'ACCEPTED by all four, on an EMULATED platform', value: null };
  });

  await steps.run('Algorithm and data go in, sealed to the key that was proven', async () => {
    console.log(indent(await expect(host.cli('algo', 'wages', at('regression.py'), ...trustOf('carol')))));
    for (const [party, name] of [
      ['alice', 'first.csv'],
      ['bob', 'second.csv'],
    ] as const) {
      console.log(indent(await expect(host.cli('data', 'wages', name, at(name), ...trustOf(party)))));
    }
    return { outcome: '3 inputs taken in (platform EMULATED)', value: null };
  });

  await steps.run('The algorithm runs in its sandbox', async () => {
    const done = await expect(host.cli('run', 'wages', ...trustOf('dave')));
    return { outcome: done.trim(), value: null };
  });

  const found = await steps.run('The consumer fetches, checks and opens the result', async () => {
    await expect(host.cli('result', 'get', 'wages', '--out', at('result.cocos'), ...trustOf('dave')));
    const receipt = await expect(host.cli('result', 'verify', at('result.cocos'), ...trustOf('dave')));
    console.log(indent(receipt));
    await expect(host.cli('result', 'open', at('result.cocos'), '--out', at('opened'), ...trustOf('dave')));
    const text = readFileSync(at('opened/regression.json'), 'utf8');
    console.log(indent(text));
    return { outcome: 'result verified, platform EMULATED', value: Regression.parse(JSON.parse(text)) };
  });

  await steps.run('The same regression in the clear, by GNU datamash', async () => {
    const clear = regressionInTheClear(halves);
    console.log(indent(JSON.stringify(clear, null, 2)));
    if (!agree(found, clear)) throw new Error('the enclave and datamash disagree');
    return { outcome: 'equal to nine digits', value: null };
  });

  await steps.run('Refused: a key that is not the consumer’s opens nothing', async () => {
    const opened = host.cli(
      'result',
      'open',
      at('result.cocos'),
      '--key',
      at('alice.key'),
      '--out',
      at('stolen'),
    );
    const reason = await expect(opened, 2);
    return { outcome: errorLine(reason), value: null };
  });

  await steps.run('Refused: a party that is not in the manifest', async () => {
    await expect(host.cli('keys', 'generate', 'mallory', '--out', folder));
    const reason = await expect(
      host.cli('data', 'wages', 'first.csv', at('first.csv'), ...trustOf('mallory')),
      77,
    );
    return { outcome: errorLine(reason), value: null };
  });

  await steps.run('Refused: a host that serves a modified image', async () => {
    // The same host, with the same emulated platform, and another image.
    await mkdir(at('run2-state'));
    await cp(at('run-state/emulated-root.json'), at('run2-state/emulated-root.json'));
    const malicious = createHost('run2', await alteredImage());
    await malicious.ready();
    await expect(malicious.cli('enclave', 'create', 'wages', '--manifest', at('manifest.json')));
    const sent = malicious.cli('data', 'wages', 'first.csv', at('first.csv'), ...trustOf('alice'));
    const reason = await expect(sent, 2);
    await malicious.stop();
    return { outcome: `${errorLine(reason)} (platform EMULATED)`, value: null };
  });

  await steps.run('The host removes the enclave and stops', async () => {
    await expect(host.cli('enclave', 'remove', 'wages'));
    await host.stop();
    return { outcome: 'nothing of it is left running', value: null };
  });
}

/** What a command said of its error: the last line before the one with the next step. */
function errorLine(text: string): string {
  const lines = text.trim().split('\n');
  return lines.findLast((line) => !line.startsWith('next: ')) ?? '';
}

async function clean(): Promise<void> {
  await Promise.all(hosts.map((host) => host.stop()));
  await rm(folder, { recursive: true, force: true });
  await rm(path.join(ROOT, 'build/altered-agent.ts'), { force: true });
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void clean().then(() => process.exit(130)));
}
try {
  await demo();
  console.log(`\n${steps.table()}\n\ndemo: everything as it should be, on an EMULATED platform`);
} catch (error) {
  const kept = path.join(ROOT, 'build', 'demo-failure');
  await mkdir(kept, { recursive: true });
  await Promise.all(hosts.map((host) => host.stop()));
  await cp(at('manager.log'), path.join(kept, 'manager.log')).catch(() => undefined);
  await cp(at('run-state/enclaves'), path.join(kept, 'enclaves'), { recursive: true }).catch(() => undefined);
  console.error(
    `\ndemo: failed: ${error instanceof Error ? error.message : String(error)}\nfull logs: ${kept}`,
  );
  process.exitCode = 1;
} finally {
  await clean();
}
