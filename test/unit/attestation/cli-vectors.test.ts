import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { runCli } from '../../fakes/cli.ts';
import { WAIVERS } from '../../fakes/fake-amd.ts';
import { hasVectors, logsWithExpectations, vectorsDir } from '../../vectors.ts';

const at = (...parts: string[]): string => join(vectorsDir(), ...parts);
const json = (...parts: string[]): unknown => JSON.parse(readFileSync(at(...parts), 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'cocos-cli-vectors-'));
afterAll(() => rmSync(folder, { recursive: true }));
const write = (name: string, content: string | Uint8Array): string => {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
};

const Verdict = z.object({
  outcome: z.string(),
  failures: z.array(z.string()),
  missing: z.array(z.string()),
  checks: z.array(z.object({ name: z.string(), outcome: z.string() })),
});
const failed = (value: unknown) =>
  Verdict.parse(value)
    .checks.filter((check) => check.outcome === 'failed')
    .map((check) => check.name);

const SnpCase = z.object({ product: z.string(), verify_at: z.string(), chain: z.array(z.string()) });

const Next = z.object({ next: z.array(z.string()) });

function snpArguments(name: string): string[] {
  const { verify_at, chain, product } = SnpCase.parse(json('snp', name, 'expected.json'));
  const [leaf = '', ...authorities] = chain.map((file) => at('snp', name, file));
  const report = ['--report', at('snp', name, 'report.bin'), '--vcek', leaf, '--chain', ...authorities];
  const policy = write('waivers.json', JSON.stringify({ version: 1, platforms: ['snp'], snp: WAIVERS }));
  return [
    'attestation',
    'verify-snp',
    ...report,
    '--product',
    product,
    '--at',
    verify_at,
    '--policy',
    policy,
  ];
}

describe.skipIf(!hasVectors)('attestation verify-snp', () => {
  it.each([
    ['milan-v2', 0, []],
    ['genoa-v3', 0, []],
    ['turin-v5', 0, []],
    ['milan-v2-debug-policy', 2, ['policy.debug']],
    ['milan-v3-vlek-vmpl1', 2, ['policy.endorsement-key', 'policy.vmpl']],
  ])('judges %s: exit %i', async (name, exit, failures) => {
    const run = await runCli(...snpArguments(name));
    expect(run.exit).toBe(exit);
    expect(failed(run.json)).toEqual(failures);
  });

  it('refuses each by the strict policy, for its firmware and for the missing list, and says what to do', async () => {
    for (const name of ['milan-v2', 'genoa-v3', 'turin-v5']) {
      const args = snpArguments(name);
      const run = await runCli(...args.slice(0, args.indexOf('--policy')));
      expect({ exit: run.exit, failed: failed(run.json) }).toEqual({
        exit: 2,
        failed: ['policy.minimum-tcb'],
      });
      expect(run.json).toMatchObject({ missing: ['chain.revocation-list', 'chain.revocation'] });
      expect(Next.parse(run.json).next.join('\n')).toMatch(/verify-snp --crl.*snp\.minimumTcb/s);
      const tcb = write(
        'tcb.json',
        JSON.stringify({ version: 1, platforms: ['snp'], snp: { minimumTcb: WAIVERS.minimumTcb } }),
      );
      const waived = await runCli(...args, '--policy', tcb);
      expect(waived.exit).toBe(2);
      const [next] = Next.parse(waived.json).next;
      expect(next).toMatch(/https:\/\/kdsintf\.amd\.com\/vcek\/v1\/(Milan|Genoa|Turin)\/crl.*--crl/);
    }
  });

  it('accepts the provider key under a policy that allows it, until the key expires', async () => {
    const snp = {
      ...WAIVERS,
      endorsementKeys: ['vlek'],
      vmpl: 1,
      providers: ['CN=cc-us-east-2.amazonaws.com'],
    };
    const policy = write('vlek.json', JSON.stringify({ version: 1, platforms: ['snp'], snp }));
    const args = [...snpArguments('milan-v3-vlek-vmpl1'), '--policy', policy];
    expect((await runCli(...args)).exit).toBe(0);
    const late = await runCli(...args, '--at', '2026-01-01T00:00:00Z');
    expect({ exit: late.exit, failed: failed(late.json) }).toEqual({ exit: 2, failed: ['chain.validity'] });
  });

  it('accepts PEM and DER, and several certificates in one file', async () => {
    const pem = write(
      'milan.pem',
      ['milan_ask.pem', 'milan_ark.pem']
        .map((file) => readFileSync(at('amd-roots', file), 'utf8'))
        .join('\n'),
    );
    const args = snpArguments('milan-v2');
    const chain = args.indexOf('--chain');
    expect((await runCli(...args.slice(0, chain), '--chain', pem, ...args.slice(chain + 3))).exit).toBe(0);
  });

  it('refuses another product than the expected one', async () => {
    const run = await runCli(...snpArguments('milan-v2'), '--product', 'Genoa');
    expect({ exit: run.exit, failed: failed(run.json) }).toEqual({ exit: 2, failed: ['report.product'] });
  });

  it('distinguishes usage errors (64) from unreadable input (74)', async () => {
    expect((await runCli('attestation', 'verify-snp')).exit).toBe(64);
    expect((await runCli(...snpArguments('milan-v2'), '--product', 'Naples')).exit).toBe(64);
    expect((await runCli(...snpArguments('milan-v2'), '--at', 'yesterday')).exit).toBe(64);
    expect((await runCli(...snpArguments('milan-v2'), '--report', join(folder, 'none'))).exit).toBe(74);
    expect((await runCli(...snpArguments('milan-v2'), '--policy', at('negative.md'))).exit).toBe(74);
  });

  it('distinguishes a file without a report (74) from a rejected report (2)', async () => {
    const report = readFileSync(at('snp', 'milan-v2', 'report.bin'));
    const judge = async (name: string, bytes: Uint8Array) => {
      const run = await runCli(...snpArguments('milan-v2'), '--report', write(name, bytes));
      return [run.exit, failed(run.json)];
    };
    expect(await judge('short', report.subarray(0, 1183))).toEqual([74, ['report.size']]);
    expect(await judge('body', report.subarray(0, 0x2a0))).toEqual([74, ['report.size']]);
    expect(await judge('long', Buffer.concat([report, Buffer.from([0])]))).toEqual([74, ['report.size']]);
    expect(await judge('empty', Buffer.alloc(0))).toEqual([74, ['report.size']]);
    const version = Buffer.from(report);
    version.writeUInt32LE(0xffff_ffff);
    expect(await judge('version', version)).toEqual([2, ['report.version']]);
    const table = await judge('table', Buffer.concat([report, Buffer.alloc(48, 1)]));
    expect(table).toEqual([2, ['report.certificate-table']]);
    const damaged = write('damaged.der', readFileSync(at('snp', 'milan-v2', 'vcek.der')).subarray(1));
    expect((await runCli(...snpArguments('milan-v2'), '--vcek', damaged)).exit).toBe(74);
  });

  it('reads a report with its certificate table, and fails closed if the table does not contain the key', async () => {
    const extended = at('snp', 'cert-table-unverifiable', 'extended-report.bin');
    const run = await runCli(...snpArguments('milan-v2'), '--report', extended);
    expect(run.exit).toBe(2);
    expect(failed(run.json)).toEqual(['report.signature', 'report.chip-id', 'report.certificate-tcb']);
  });

  it('requires a list of the root if lists are given', async () => {
    const intel = at('tdx', 'v4-prod-spr', 'root_ca.crl');
    const run = await runCli(...snpArguments('milan-v2'), '--crl', intel);
    expect(run.exit).toBe(2);
    expect(Verdict.parse(run.json).missing).toEqual(['chain.revocation-list', 'chain.revocation']);
    const none = write('none.pem', readFileSync(at('amd-roots', 'milan_ask.pem')));
    expect((await runCli(...snpArguments('milan-v2'), '--crl', none)).exit).toBe(74);
  });

  it('exits with the same code as a process', () => {
    const main = new URL('../../../src/cli/main.ts', import.meta.url).pathname;
    const args = ['--import', 'tsx', main, ...snpArguments('milan-v2-debug-policy'), '-o', 'json'];
    let status: unknown;
    let stdout: unknown;
    try {
      execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    } catch (thrown) {
      ({ status, stdout } = z.object({ status: z.number(), stdout: z.string() }).parse(thrown));
    }
    expect(status).toBe(2);
    expect(Verdict.parse(JSON.parse(String(stdout))).failures).toEqual(['policy.debug']);
  });
});

describe.skipIf(!hasVectors)('attestation verify-tdx', () => {
  const run = (name: string, when: string, ...more: string[]) =>
    runCli('attestation', 'verify-tdx', '--quote', at('tdx', name, 'quote.bin'), '--at', when, ...more);

  it('accepts v4-full-collateral with the folder of its collateral', async () => {
    const collateral = ['--collateral', at('tdx', 'v4-full-collateral')];
    const result = await run('v4-full-collateral', '2025-07-01T00:00:00Z', ...collateral);
    expect({ exit: result.exit, failed: failed(result.json) }).toEqual({ exit: 0, failed: [] });
  });

  it('refuses v4-prod-spr: no TCB level matches', async () => {
    const result = await run('v4-prod-spr', '2023-07-01T00:00:00Z', '--collateral', at('tdx', 'v4-prod-spr'));
    expect(result.exit).toBe(2);
    expect(failed(result.json)).toEqual(['tdx.trailing-bytes', 'tdx.tcb-level', 'tdx.attributes']);
  });

  it('refuses v4-debug-td for its DEBUG attribute', async () => {
    const result = await run('v4-debug-td', '2024-01-01T00:00:00Z');
    expect({ exit: result.exit, failed: failed(result.json) }).toEqual({ exit: 2, failed: ['policy.debug'] });
  });

  it('finds v5-tdx15 incomplete', async () => {
    const result = await run('v5-tdx15', '2026-02-15T00:00:00Z', '--collateral', at('tdx', 'v5-tdx15'));
    const { failures, missing } = Verdict.parse(result.json);
    expect(result.exit).toBe(2);
    expect(failures).toEqual(missing);
    expect(result.text).toMatch(/: no check failed, but required checks could not be made: /);
  });

  it('uses imported collateral, and importing it twice changes nothing', async () => {
    const cache = join(folder, 'cache');
    const source = at('tdx', 'v4-full-collateral');
    const files = ['collateral.json', 'pck_platform.crl', 'root_ca.crl'].map((file) => join(source, file));
    const args = ['attestation', 'collateral', 'import', ...files, '--collateral', cache];
    expect(await runCli(...args)).toMatchObject({ exit: 0 });
    const stored = readdirSync(cache);
    expect(await runCli(...args)).toMatchObject({ exit: 0, json: { written: [] } });
    expect(readdirSync(cache)).toEqual(stored);
    const result = await run('v4-full-collateral', '2025-07-01T00:00:00Z', '--collateral', cache);
    expect(result.exit).toBe(0);
    expect(
      await runCli('attestation', 'collateral', 'import', at('negative.md'), '--collateral', cache),
    ).toMatchObject({
      exit: 74,
    });
  });
});

describe.skipIf(!hasVectors)('attestation verify-tpm', () => {
  const file = (name: string) => at('tpm-quote', 'azure-snp-vtpm', name);
  const run = (nonce: string, ...more: string[]) =>
    runCli(
      'attestation',
      'verify-tpm',
      ...['--attest', file('attest.bin'), '--signature', file('signature.bin'), '--key', file('ak.pem')],
      ...['--nonce', nonce, ...more],
    );
  const nonce = Buffer.from('challenge').toString('hex');

  it('accepts the quote with its PCR values', async () => {
    const result = await run(nonce, '--pcrs', file('pcrs-sha256.json'));
    expect({ exit: result.exit, failed: failed(result.json) }).toEqual({ exit: 0, failed: [] });
  });

  it('refuses another nonce and other PCR values', async () => {
    const other = await run('00', '--pcrs', file('pcrs-sha256.json'));
    expect({ exit: other.exit, failed: failed(other.json) }).toEqual({
      exit: 2,
      failed: ['vtpm.qualifying-data'],
    });
    const values = z.array(z.string()).parse(json('tpm-quote', 'azure-snp-vtpm', 'pcrs-sha256.json'));
    const changed = write('pcrs.json', JSON.stringify(['0'.repeat(64), ...values.slice(1)]));
    const wrong = await run(nonce, '--pcrs', changed);
    expect({ exit: wrong.exit, failed: failed(wrong.json) }).toEqual({
      exit: 2,
      failed: ['vtpm.pcr-digest'],
    });
    expect((await run('no hex')).exit).toBe(64);
  });

  describe('with the report of a paravisor', () => {
    const waivers = () =>
      write('tpm-waivers.json', JSON.stringify({ version: 1, platforms: ['snp'], snp: WAIVERS }));
    const byReport = (hcl: string, ...more: string[]) =>
      runCli(
        'attestation',
        'verify-tpm',
        ...['--attest', file('attest.bin'), '--signature', file('signature.bin'), '--nonce', nonce],
        ...['--hcl', hcl, '--chain', file('vcek-ask-ark.pem'), '--at', '2026-06-01T00:00:00Z', ...more],
      );
    const whose = (value: unknown) =>
      z.object({ vtpm: z.object({ owner: z.string() }) }).parse(value).vtpm.owner;

    it('accepts the key that the report binds, and says whose the vTPM is', async () => {
      const bound = await byReport(file('hcl-report.bin'), '--policy', waivers());
      expect({ exit: bound.exit, failed: failed(bound.json) }).toEqual({ exit: 0, failed: [] });
      // Any guest could have made such a report: only a policy that names its measurement knows the paravisor.
      expect(bound.text).toContain('of the guest whose SNP report binds the key');
      expect(whose(bound.json)).toBe('guest');
      const measurement = readFileSync(file('hcl-report.bin')).toString('hex', 32 + 0x90, 32 + 0xc0);
      const snp = { ...WAIVERS, measurements: [measurement] };
      const pinning = write('pinning.json', JSON.stringify({ version: 1, platforms: ['snp'], snp }));
      const known = await byReport(file('hcl-report.bin'), '--policy', pinning);
      expect({ exit: known.exit, owner: whose(known.json) }).toEqual({ exit: 0, owner: 'paravisor' });
      expect(whose((await run(nonce)).json)).toBe('caller');
      // Firmware and revocation list count as for every report.
      const strict = await byReport(file('hcl-report.bin'));
      expect({ exit: strict.exit, failed: failed(strict.json) }).toEqual({
        exit: 2,
        failed: ['policy.minimum-tcb'],
      });
    });

    it('refuses claims that the report does not bind, the report of another machine, and both kinds of key', async () => {
      const report = readFileSync(file('hcl-report.bin'));
      const renamed = Buffer.from(report);
      const id = renamed.indexOf('vmUniqueId');
      renamed.writeUInt8(renamed.readUInt8(id + 14) ^ 1, id + 14);
      const changed = await byReport(write('renamed.bin', renamed), '--policy', waivers());
      expect({ exit: changed.exit, failed: failed(changed.json) }).toEqual({
        exit: 2,
        failed: ['vtpm.key-binding'],
      });
      expect(whose(changed.json)).toBe('host');
      const genoa = z
        .object({ report: z.array(z.number()), vcek: z.string() })
        .parse(json('azure', 'snp', 'evidence-genoa.json'));
      const roots = ['ask', 'ark'].map((name) => at('amd-roots', `genoa_${name}.pem`));
      const other = await byReport(
        write('genoa.bin', Uint8Array.from(genoa.report)),
        ...['--chain', write('genoa.pem', genoa.vcek), ...roots, '--policy', waivers()],
      );
      expect(other.exit).toBe(2);
      expect(failed(other.json)).toEqual(['vtpm.signature']);
      expect((await byReport(write('text', 'no report'), '--policy', waivers())).exit).toBe(74);
      expect((await byReport(file('hcl-report.bin'), '--key', file('ak.pem'))).exit).toBe(64);
    });
  });
});

const Log = z.object({
  file: z.string(),
  replayed: z.record(z.string(), z.string()).optional(),
  replayed_pcrs: z.record(z.string(), z.record(z.string(), z.string())).optional(),
});

describe.skipIf(!hasVectors)('attestation replay', () => {
  const cases = logsWithExpectations(at('eventlog'));
  it('has the logs of the set', () => {
    expect(cases.length).toBeGreaterThanOrEqual(7);
  });

  it.each(cases)('replays %s to the published values', async (name) => {
    const { file, replayed, replayed_pcrs } = Log.parse(json('eventlog', name, 'expected.json'));
    for (const [bank, values] of Object.entries(replayed_pcrs ?? { sha384: replayed ?? {} })) {
      const result = await runCli('attestation', 'replay', at('eventlog', name, file), '--bank', bank);
      expect(result).toMatchObject({ exit: 0, json: { bank, values } });
    }
  });

  it('refuses a bank that is not in the log, and a file that is not a log', async () => {
    const log = at('eventlog', 'tpm-legacy-sha1-debian-10', 'eventlog.bin');
    expect((await runCli('attestation', 'replay', log, '--bank', 'sha256')).exit).toBe(74);
    expect((await runCli('attestation', 'replay', log, '--bank', 'md5')).exit).toBe(64);
    expect((await runCli('attestation', 'replay', at('negative.md'))).exit).toBe(74);
  });
});

describe.skipIf(!hasVectors)('attestation verify-dice', () => {
  const Dice = z.object({
    cases: z.record(z.string(), z.object({ expected: z.record(z.string(), z.string()) })),
  });
  const { cases } = hasVectors ? Dice.parse(json('open-dice', 'expected.json')) : { cases: {} };
  const modes = ['not-configured'];

  it.each(
    Object.keys(cases).flatMap((name) =>
      ['cbored25519cert.cbor', 'x509ed25519cert.der'].map((file) => [name, file]),
    ),
  )('judges %s/%s by the authority key of the set', async (name, file) => {
    const rootKeys = [cases[name]?.expected['ed25519_authority_public_key']];
    const chain = at('open-dice', name, file);
    const policy = (dice: object) =>
      write(`${name}-dice.json`, JSON.stringify({ version: 1, platforms: ['snp'], dice }));
    const args = ['attestation', 'verify-dice', '--chain', chain, '--policy'];
    const accepted = await runCli(...args, policy({ rootKeys, allowedModes: modes }));
    expect({ exit: accepted.exit, failed: failed(accepted.json) }).toEqual({ exit: 0, failed: [] });
    const strict = await runCli(...args, policy({ rootKeys }));
    expect({ exit: strict.exit, failed: failed(strict.json) }).toEqual({ exit: 2, failed: ['dice.mode'] });
    const other = await runCli(...args, policy({ rootKeys: ['0'.repeat(64)], allowedModes: modes }));
    expect({ exit: other.exit, failed: failed(other.json) }).toEqual({ exit: 2, failed: ['dice.root'] });
  });

  it('rejects a chain without a root key', async () => {
    const run = await runCli(
      'attestation',
      'verify-dice',
      '--chain',
      at('open-dice', 'ZeroInput', 'cborp384cert.cbor'),
    );
    expect(run.exit).toBe(2);
    expect(Verdict.parse(run.json).missing).toEqual(['dice.root', 'dice.signatures']);
  });
});

const Launch = z.object({
  mode: z.string(),
  vcpus: z.number(),
  vcpu_type: z.string().optional(),
  firmware: z.string(),
  kernel: z.string().nullable(),
  initrd: z.string().nullable(),
  append: z.string().nullable(),
  guest_features: z.string(),
  snp_ovmf_hash: z.string().optional(),
  vmm_type: z.string(),
  digest: z.string().nullable(),
});
const Launches = z.object({ cases: z.array(Launch), extra_cases_computed_here: z.array(Launch) });

describe.skipIf(!hasVectors)('measure snp', () => {
  const { cases, extra_cases_computed_here } = hasVectors
    ? Launches.parse(json('snp-launch-digest', 'expected.json'))
    : { cases: [], extra_cases_computed_here: [] };
  // The vectors contain only the tail of the firmware; the command line cannot override the hash of a firmware.
  const own = [...cases, ...extra_cases_computed_here].filter((each) => each.snp_ovmf_hash === undefined);
  const modes: Readonly<Record<string, string>> = { SEV_SNP: 'snp', SEV_ES: 'seves', SEV: 'sev' };

  it('has cases of every mode and hypervisor', () => {
    expect(new Set(own.map(({ mode }) => mode)).size).toBe(3);
    expect(new Set(own.map(({ vmm_type }) => vmm_type.toLowerCase()))).toEqual(
      new Set(['qemu', 'ec2', 'gce']),
    );
    expect(own.length).toBeGreaterThanOrEqual(20);
  });

  it.each(own.map((each, index) => [`${index} ${each.mode} ${each.vmm_type}`, each] as const))(
    'gives the digest of case %s',
    async (_, each) => {
      const input = (name: string) =>
        name === '(empty file)' ? write('empty', '') : at('snp-launch-digest', name);
      const optional = (option: string, value: string | null) => (value === null ? [] : [option, value]);
      const run = await runCli(
        ...['measure', 'snp', '--ovmf', at('snp-launch-digest', each.firmware)],
        ...optional('--kernel', each.kernel === null ? null : input(each.kernel)),
        ...optional('--initrd', each.initrd === null ? null : input(each.initrd)),
        ...(each.append === null || each.append === '' ? [] : ['--append', each.append]),
        ...['--vcpus', String(each.vcpus), '--vcpu-type', each.vcpu_type ?? 'EPYC-v4'],
        ...['--guest-features', each.guest_features, '--mode', modes[each.mode] ?? ''],
        ...['--vmm', each.vmm_type.toLowerCase()],
      );
      if (each.digest === null) expect(run.error).toBe('MEASURE_UNSUPPORTED');
      else expect(run).toMatchObject({ exit: 0, text: each.digest, json: { digest: each.digest } });
    },
  );

  it('refuses unknown values', async () => {
    const base = ['measure', 'snp', '--ovmf', at('snp-launch-digest', 'ovmf_AmdSev_suffix.bin')];
    expect((await runCli(...base, '--vcpus', '0', '--vcpu-type', 'EPYC')).exit).toBe(64);
    expect((await runCli(...base, '--vcpus', '1', '--vcpu-type', 'EPYC', '--mode', 'tdx')).exit).toBe(64);
    expect((await runCli(...base, '--vcpus', '1', '--vcpu-type', 'EPYC', '--append', 'x')).exit).toBe(64);
    expect((await runCli(...base, '--vcpus', '1', '--vcpu-type', 'Nehalem')).error).toBe(
      'MEASURE_UNSUPPORTED',
    );
  });
});

describe.skipIf(!hasVectors)('attestation inspect', () => {
  it.each([
    ['snp-report', ['snp', 'turin-v5', 'report.bin']],
    ['snp-report', ['snp', 'cert-table-unverifiable', 'extended-report.bin']],
    ['tdx-quote', ['tdx', 'v5-tdx15', 'quote.bin']],
    ['tpm-quote', ['tpm-quote', 'azure-snp-vtpm', 'attest.bin']],
    ['hcl-report', ['tpm-quote', 'azure-snp-vtpm', 'hcl-report.bin']],
    ['event-log', ['eventlog', 'tpm-rhel8-uefi', 'eventlog.bin']],
    ['event-log', ['eventlog', 'ccel-grub-gke', 'ccel.bin']],
    ['event-log', ['eventlog', 'tpm-legacy-sha1-debian-10', 'eventlog.bin']],
    ['dice-chain', ['open-dice', 'ZeroInput', 'x509p256cert.der']],
    ['dice-chain', ['open-dice', 'HashOnlyInput', 'cborp384cert.cbor']],
  ])('shows a %s', async (kind, file) => {
    const run = await runCli('attestation', 'inspect', at(...file));
    expect(run).toMatchObject({ exit: 0, json: { kind } });
    expect(JSON.parse(JSON.stringify(run.json))).toEqual(run.json);
  });

  it('reports a file that is not evidence', async () => {
    expect((await runCli('attestation', 'inspect', at('negative.md'))).exit).toBe(74);
    expect((await runCli('attestation', 'inspect', join(folder, 'none'))).exit).toBe(74);
  });
});
