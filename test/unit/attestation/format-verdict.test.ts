import { describe, expect, it } from 'vitest';
import { formatVerdict, verdictToJson } from '../../../src/attestation/appraisal/format-verdict.ts';
import { CheckList, type Verdict } from '../../../src/attestation/appraisal/verdict.ts';
import { claims } from '../../fakes/emulated-host.ts';

function verdict(change: Partial<Verdict> = {}, fill: (checks: CheckList) => void = () => {}): Verdict {
  const list = new CheckList();
  fill(list);
  return {
    outcome: 'rejected',
    platform: 'snp',
    emulated: false,
    evidenceDigest: `sha256:${'0'.repeat(64)}`,
    at: 0,
    ...list.finish(),
    ...change,
  };
}

describe('formatVerdict', () => {
  it('shows EMULATED for every emulated platform, trusted or not', () => {
    expect(formatVerdict(verdict({ platform: 'emulated', emulated: true }))).toContain('EMULATED');
    expect(formatVerdict(verdict({ platform: 'unknown', emulated: true }))).toContain('EMULATED');
    expect(formatVerdict(verdict())).not.toContain('EMULATED');
  });

  it('has a line for each check, with the expected and the found value if it failed', () => {
    const text = formatVerdict(
      verdict({}, (checks) => {
        checks.equal('launch.kernel', 'good', 'bad');
        checks.notChecked('dice.chain', 'there is none');
      }),
    );
    expect(text).toMatch(/FAILED +launch\.kernel +expected good, found bad/);
    expect(text).toMatch(/- +dice\.chain +not checked, not required by your policy: there is none/);
    expect(text).toMatch(/^0 passed, 1 failed, \d+ not checked: .*: launch\.kernel\.$/m);
    expect(text).toMatch(/- +report\.signature +not checked, although required: not reached/);
  });

  it('begins with three numbers and one sentence, and has the same numbers in JSON', () => {
    const some = verdict({ outcome: 'accepted', failures: [], missing: [] }, (checks) => {
      checks.setScope(['evidence.parse', 'claims.parse', 'dice.chain']);
      checks.equal('evidence.parse', 'a', 'a');
      checks.equal('claims.parse', 'a', 'a');
      checks.notChecked('dice.chain', 'there is none');
    });
    const [, numbers = ''] = formatVerdict(some).split('\n');
    expect(numbers).toMatch(/^2 passed, 0 failed, 1 not checked: [^.]*\.$/);
    expect(verdictToJson(some)).toMatchObject({ counts: { passed: 2, failed: 0, notChecked: 1 } });
    const incomplete = verdict({}, (checks) => {
      checks.setScope(['evidence.parse', 'claims.parse']);
      checks.equal('evidence.parse', 'a', 'a');
    });
    expect(formatVerdict(incomplete)).toMatch(
      /^1 passed, 0 failed, 1 not checked: no check failed, .*: claims\.parse\.$/m,
    );
  });

  it('says of every emulated platform that the host can read the memory, and of no hardware', () => {
    const accepted = { outcome: 'accepted', failures: [], missing: [] } as const;
    const emulated = { ...accepted, platform: 'emulated', emulated: true } as const;
    for (const launch of ['vm', 'process'] as const) {
      const text = formatVerdict(verdict({ ...emulated, launch }));
      expect(text).toMatch(/^not protected: .*host.* can read .*memory/m);
      expect(text).not.toContain('exist only in this enclave');
      expect(verdictToJson(verdict({ ...emulated, launch }))).toMatchObject({
        hostCanReadMemory: true,
        launch,
      });
    }
    expect(formatVerdict(verdict({ ...emulated, launch: 'process' }))).toContain('a process of the host');
    expect(formatVerdict(verdict(accepted))).not.toContain('not protected');
    expect(verdictToJson(verdict(accepted))).toMatchObject({ hostCanReadMemory: false });
  });

  it('never passes control characters of the evidence to the terminal', () => {
    const text = formatVerdict(
      verdict({}, (checks) => checks.equal('launch.eos-version', 'eos-1', 'x\u001b[2J\n\u202etrue')),
    );
    expect(text).not.toContain('\u001b');
    expect(text).not.toContain('\u202e');
    expect(text).toContain('found x?[2J??true');
  });
});

describe('verdictToJson', () => {
  it('is plain JSON with byte strings in hex', () => {
    const json = verdictToJson(verdict({ claims: { ...claims, kemKeys: [...claims.kemKeys] } }));
    expect(JSON.parse(JSON.stringify(json))).toEqual(json);
    expect(json).toMatchObject({
      outcome: 'rejected',
      claims: { bootId: '01'.repeat(16), platform: 'emulated' },
    });
  });
});

describe('CheckList', () => {
  it('rejects if a required check was not made', () => {
    expect(new CheckList().finish().failures).toContain('report.signature');
  });

  it('keeps the first failure of a check', () => {
    const list = new CheckList();
    list.equal('report.product', 'a', 'b');
    list.equal('report.product', 'a', 'a');
    expect(list.finish().failures).toEqual(['report.product']);
  });
});
