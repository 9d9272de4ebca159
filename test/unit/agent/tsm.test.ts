import { describe, expect, it } from 'vitest';
import { readTsm, type TsmFiles, tsmPlatform } from '../../../src/agent/evidence/tsm.ts';

/** The kernel's folder as documented: every write increments the generation, and reading creates the report. */
class FakeConfigfs implements TsmFiles {
  readonly entries = new Map<string, Map<string, string | Uint8Array>>();
  readonly written: (readonly [string, string | Uint8Array])[] = [];
  readonly provider: string;
  /** Error codes with which the next reads of `outblob` end. */
  readonly busy: string[] = [];
  /** Attributes that this kernel lacks. */
  absent: readonly string[] = [];
  /** Writes of another process before the report is read. */
  strangers = 0;
  #generation = 0;

  constructor(provider: string) {
    this.provider = provider;
  }

  make(entry: string): Promise<void> {
    this.entries.set(entry, new Map());
    return Promise.resolve();
  }

  remove(entry: string): Promise<void> {
    this.entries.delete(entry);
    return Promise.resolve();
  }

  write(entry: string, attribute: string, value: Uint8Array | string): Promise<void> {
    this.entries.get(entry)?.set(attribute, value);
    this.written.push([attribute, value]);
    this.#generation += 1;
    return Promise.resolve();
  }

  read(entry: string, attribute: string): Promise<Uint8Array> {
    if (this.absent.includes(attribute))
      return Promise.reject(Object.assign(new Error(), { code: 'ENOENT' }));
    const code = attribute === 'outblob' ? this.busy.shift() : undefined;
    if (code !== undefined) return Promise.reject(Object.assign(new Error(code), { code }));
    if (attribute === 'outblob') this.#generation += this.strangers;
    const values: Record<string, string> = {
      provider: `${this.provider}\n`,
      generation: `${this.#generation}\n`,
      privlevel_floor: '1\n',
      outblob: `report over ${Buffer.from(this.entries.get(entry)?.get('inblob') ?? '').toString('hex')}`,
      auxblob: 'table',
      manifestblob: 'manifest',
    };
    return Promise.resolve(new Uint8Array(Buffer.from(values[attribute] ?? '')));
  }
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const unavailable = { code: 'EVIDENCE_UNAVAILABLE' };
const DATA = Uint8Array.of(1, 2);

describe('configfs-tsm', () => {
  it('identifies the platform, and reports none without a provider', async () => {
    expect(await tsmPlatform(new FakeConfigfs('sev_guest'))).toBe('snp');
    expect(await tsmPlatform(new FakeConfigfs('tdx_guest'))).toBe('tdx');
    expect(await tsmPlatform(new FakeConfigfs('arm_cca_guest'))).toBe(null);
    const none = new FakeConfigfs('');
    none.make = () => Promise.reject(Object.assign(new Error(), { code: 'ENXIO' }));
    expect(await tsmPlatform(none)).toBe(null);
  });

  it('returns report and certificate table and removes its entry', async () => {
    const files = new FakeConfigfs('sev_guest');
    const { report, auxiliary, manifest } = await readTsm(DATA, {}, files);
    expect([text(report), text(auxiliary), manifest.length]).toEqual(['report over 0102', 'table', 0]);
    expect(files.entries.size).toBe(0);
  });

  it('works without a certificate table', async () => {
    const files = new FakeConfigfs('tdx_guest');
    files.absent = ['auxblob'];
    expect((await readTsm(DATA, {}, files)).auxiliary).toHaveLength(0);
  });

  it('sets the privilege level and the service of the SVSM', async () => {
    const files = new FakeConfigfs('sev_guest');
    const guid = 'c476f1eb-0123-45a5-9641-b4e7dde5bfe3';
    const service = { provider: 'svsm', guid, manifestVersion: 0 };
    expect(text((await readTsm(DATA, { privilege: 2, service }, files)).manifest)).toBe('manifest');
    expect(files.written).toEqual([
      ['inblob', DATA],
      ['privlevel', '2'],
      ['service_provider', 'svsm'],
      ['service_guid', guid],
      ['service_manifest_version', '0'],
    ]);
    await expect(readTsm(DATA, { privilege: 0 }, files)).rejects.toMatchObject(unavailable);
  });

  it('discards a report whose request another process changed', async () => {
    const files = new FakeConfigfs('sev_guest');
    files.strangers = 1;
    await expect(readTsm(DATA, {}, files)).rejects.toMatchObject(unavailable);
    expect(files.entries.size).toBe(0);
  });

  it('repeats a throttled request, but not one that failed for good', async () => {
    const files = new FakeConfigfs('sev_guest');
    files.busy.push('EBUSY', 'EINTR');
    expect(text((await readTsm(DATA, {}, files)).report)).toBe('report over 0102');
    files.busy.push('EACCES');
    await expect(readTsm(DATA, {}, files)).rejects.toMatchObject(unavailable);
    files.busy.push('EIO', 'EIO', 'EIO', 'EIO');
    await expect(readTsm(DATA, {}, files)).rejects.toMatchObject(unavailable);
  });
});
