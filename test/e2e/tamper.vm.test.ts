import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { placeOf } from '../guest/erofs-place.ts';
import { testImage } from '../guest/test-image.ts';
import { makeParties, type Parties, type System, show, startSystem, succeeded } from '../harness/system.ts';

/** One byte changed in each part of what boots: it does not boot, or its evidence is refused with the part named. */

const ALGORITHM = 'import sqlite3\nprint("never told")\n';

const Verdict = z.looseObject({
  outcome: z.enum(['accepted', 'rejected']),
  failures: z.array(z.string()),
  checks: z.array(z.looseObject({ name: z.string(), note: z.string().optional() })),
});

/** Adds one to the byte at `offset` behind the first `text` in a file. */
function alter(file: string, text: string | Buffer, offset = 0): void {
  const bytes = readFileSync(file);
  const at = bytes.indexOf(text);
  if (at < 0) throw new Error(`${file} does not hold what is to be changed`);
  const place = at + offset;
  bytes[place] = ((bytes[place] ?? 0) + 1) & 0xff;
  writeFileSync(file, bytes);
}

/** Adds one to the first byte of a file's compressed data in the root image. */
function alterFile(folder: string, file: string, work: string): void {
  const image = path.join(folder, 'root.img');
  const bytes = readFileSync(image);
  const place = placeOf(file, image, work);
  bytes[place] = ((bytes[place] ?? 0) + 1) & 0xff;
  writeFileSync(image, bytes);
}

interface Scene {
  readonly system: System;
  readonly parties: Parties;
  /** Folder with the image that nobody changed. */
  readonly image: string;
  /** Folder in which the manager finds the image of each enclave under the name `eos`. */
  readonly images: string;
}

async function prepare(boot: 'direct' | 'uefi', image: string, reference: string): Promise<Scene> {
  const images = mkdtempSync(path.join(tmpdir(), 'cocos-i-'));
  const folder = path.join(images, 'eos');
  const system = await startSystem({ COCOSAI_MODE: 'vm', COCOSAI_BOOT: boot, COCOSAI_EOS_DIR: folder });
  const options = { algorithm: ALGORITHM, datasets: { numbers: '1\n' }, reference };
  return { system, parties: await makeParties(system, options), image, images };
}

/** Checks that refused the evidence of an enclave, with what they say of it; none when it was accepted. */
async function appraise({ system, parties }: Scene, name: string, manifest = parties.manifest) {
  const nonce = randomBytes(32).toString('hex');
  const evidence = system.file(`${name}-${nonce.slice(0, 8)}.evidence`);
  succeeded(await system.cli('attestation', 'get', name, '--nonce', nonce, '--out', evidence));
  const trust = ['--policy', parties.policy, '--reference', parties.reference, '--manifest', manifest];
  const result = await system.cli(
    'attestation',
    'verify',
    evidence,
    '--nonce',
    nonce,
    ...trust,
    '-o',
    'json',
  );
  const verdict = Verdict.parse(result.json[0]);
  expect(result.code).toBe(verdict.outcome === 'accepted' ? 0 : 2);
  expect(verdict.failures.length === 0).toBe(verdict.outcome === 'accepted');
  return verdict.checks.filter((check) => verdict.failures.includes(check.name));
}

async function refusals(...of: Parameters<typeof appraise>): Promise<string[]> {
  return (await appraise(...of)).map((check) => check.name);
}

async function tearDown({ system, images }: Scene): Promise<void> {
  await system.stop();
  rmSync(images, { recursive: true, force: true });
}

/** Creates an enclave from a copy of the image in which something was changed. */
async function createFrom(scene: Scene, name: string, change: (folder: string) => void) {
  const { system, parties, image, images } = scene;
  const folder = path.join(images, 'eos');
  rmSync(folder, { recursive: true, force: true });
  cpSync(image, folder, { recursive: true });
  change(folder);
  return system.cli('enclave', 'create', name, '--vcpus', '1', '--manifest', parties.manifest);
}

describe('an image booted directly', () => {
  let scene: Scene;
  beforeAll(async () => {
    const image = path.dirname(testImage('eos').kernel);
    scene = await prepare('direct', image, path.join(image, 'reference-values.json'));
  });
  afterAll(() => tearDown(scene));

  it('is accepted as it is, and refused with another manifest', async () => {
    succeeded(await createFrom(scene, 'whole', () => undefined));
    expect(await refusals(scene, 'whole')).toEqual([]);

    // What was foretold of the files is what the emulated processor reports of the guest.
    const { system } = scene;
    const shape = ['--platform', 'emulated', '--vcpus', '1', '-o', 'json'];
    const foretold = succeeded(await system.cli('eos', 'predict', scene.image, ...shape)).json[0];
    const digest = z.looseObject({ 'launch-digest': z.string().length(96) }).parse(foretold)['launch-digest'];
    const nonce = ['--nonce', '07'.repeat(32)];
    succeeded(
      await system.cli('attestation', 'get', 'whole', ...nonce, '--out', system.file('inspected.evidence')),
    );
    const inspected = await system.cli(
      'attestation',
      'inspect',
      system.file('inspected.evidence'),
      '-o',
      'json',
    );
    const report = z.looseObject({ report: z.looseObject({ measurement: z.string() }) });
    expect(report.parse(succeeded(inspected).json[0]).report.measurement).toBe(digest);

    const other = scene.system.file('other.json');
    const text = readFileSync(scene.parties.manifest, 'utf8');
    writeFileSync(other, text.replace('"name":"test"', '"name":"tess"'));
    expect(readFileSync(other, 'utf8')).not.toBe(text);
    expect(await refusals(scene, 'whole', other)).toContain('binding.manifest');
    await scene.system.cli('enclave', 'stop', 'whole');
  });

  it.each([
    ['firmware', 'bios.bin', 'nvme_probe_ns', 'launch.firmware'],
    ['kernel', 'vmlinuz', 'This kernel requires an', 'launch.kernel'],
    ['initrd', 'initrd.img', '# First program of the guest', 'launch.initrd'],
    ['command-line', 'cmdline', 'quiet', 'launch.command-line'],
  ])('is refused with its changed %s named', async (name, file, text, check) => {
    const created = await createFrom(scene, name, (folder) => alter(path.join(folder, file), text, 4));
    succeeded(created);
    const failed = await refusals(scene, name);
    expect(failed).toContain(check);
    const others = ['firmware', 'kernel', 'initrd', 'command-line', 'root-image'].map(
      (part) => `launch.${part}`,
    );
    expect(failed.filter((each) => others.includes(each))).toEqual([check]);
    await scene.system.cli('enclave', 'stop', name);
  });

  it('is refused with another agent on a root of its own, and root image and agent named', async () => {
    const altered = path.dirname(testImage('eos-test').kernel);
    succeeded(await createFrom({ ...scene, image: altered }, 'agent', () => undefined));
    const failed = await refusals(scene, 'agent');
    expect(failed).toEqual(expect.arrayContaining(['launch.root-image', 'dice.code']));
    await scene.system.cli('enclave', 'stop', 'agent');
  });

  it('does not boot with a changed byte of the agent in its root image', async () => {
    const created = await createFrom(scene, 'bundle', (folder) =>
      alterFile(folder, '/usr/lib/cocos/agent.js', scene.images),
    );
    expect(created.code).not.toBe(0);
    expect(created.stderr).toMatch(/^VM_PANIC: /m);
  });

  it('does not boot with a changed block of the root image that is read at boot', async () => {
    const created = await createFrom(scene, 'block', (folder) => {
      alter(path.join(folder, 'root.img'), Buffer.from([0xe2, 0xe1, 0xf5, 0xe0]), 5);
    });
    expect(created.code).not.toBe(0);
    expect(created.stderr).toMatch(/^VM_PANIC: /m);
  });

  it('panics when a changed block is read later, and the run fails with that', async () => {
    succeeded(
      await createFrom(scene, 'late', (folder) =>
        alterFile(folder, '/usr/lib/x86_64-linux-gnu/libsqlite3.so.0.8.6', scene.images),
      ),
    );
    const { system, parties } = scene;
    succeeded(await system.cli('algo', 'late', system.file('algorithm'), ...parties.trust('provider')));
    await system.cli('data', 'late', 'numbers', system.file('numbers'), ...parties.trust('provider'));
    const run = await system.cli('run', 'late', ...parties.trust('consumer'));
    expect(run.code).not.toBe(0);
    expect(run.stdout + run.stderr).not.toContain('never told');
    expect(run.stderr).toMatch(/^VM_PANIC: /m);
    const { logFile } = z.looseObject({ logFile: z.string() }).parse((await show(system, 'late')).context);
    expect(readFileSync(logFile, 'latin1')).toMatch(/Kernel panic - not syncing[^\n]*dm-verity/);
  });
});

describe('an image booted by UEFI with Secure Boot', () => {
  let scene: Scene;
  beforeAll(async () => {
    const image = path.dirname(testImage('eos-signed').kernel);
    scene = await prepare('uefi', image, path.join(image, 'reference-values-uefi.json'));
  });
  afterAll(() => tearDown(scene));

  it('is accepted as it is', async () => {
    succeeded(await createFrom(scene, 'signed', () => undefined));
    expect(await refusals(scene, 'signed')).toEqual([]);
    await scene.system.cli('enclave', 'stop', 'signed');
  });

  it('does not boot a kernel image that was changed after it was signed', async () => {
    const created = await createFrom(scene, 'changed', (folder) =>
      alter(path.join(folder, 'eos.efi'), 'console=ttyS0 quiet', 14),
    );
    expect(created.code).not.toBe(0);
    expect(created.stderr).toMatch(/^VM_BOOT_FAILED: .*refused/m);
  });

  it('is refused with the changed variables of its firmware named by their PCR', async () => {
    // The last byte of the certificate in db, or of whichever variable stands last, is part of what PCR 7 measures.
    const name = Buffer.from('KEK\0', 'utf16le');
    const created = await createFrom(scene, 'variables', (folder) =>
      alter(path.join(folder, 'ovmf-vars.fd'), name, name.length + 30),
    );
    succeeded(created);
    expect(await appraise(scene, 'variables')).toMatchObject([
      { name: 'vtpm.pcrs', note: 'PCR 7 measures the Secure Boot variables' },
    ]);
  });
});
