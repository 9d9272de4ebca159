import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { CocosError } from '../../../errors.ts';
import { findQemu } from '../vm/find-program.ts';
import { type HostProcess, startHostProcess } from '../vm/host-process.ts';
import { firstHello } from '../vm/qmp-hello.ts';

/** What QEMU on this host can do; null members where it could not be asked. */
export interface QemuFacts {
  readonly program: string | null;
  readonly version: readonly [major: number, minor: number] | null;
  /** QEMU's types that protect guests, such as `sev-snp-guest`. */
  readonly teeObjects: ReadonlySet<string>;
  /** What QEMU says of AMD's secure processor. */
  readonly sev: SevCapabilities | null;
  /** Why `sev` is null: QEMU's own words. */
  readonly sevProblem: string;
}

/** `query-sev-capabilities` (QEMU's QAPI schema, misc-i386.json). */
const SevCapabilities = z.looseObject({
  cbitpos: z.int().min(0).max(63),
  'reduced-phys-bits': z.int().min(0).max(63),
});
type SevCapabilities = z.infer<typeof SevCapabilities>;

const Version = z.looseObject({ qemu: z.looseObject({ major: z.int(), minor: z.int() }) });
const Types = z.array(z.looseObject({ name: z.string() }));

const PROBE_LIMIT_MS = 10_000;

const NOTHING: QemuFacts = {
  ...{ program: null, version: null, teeObjects: new Set(), sev: null },
  sevProblem: 'QEMU could not be asked',
};

/** Asks a QEMU without a machine. A host without QEMU, or one that does not answer, is an answer too. */
export async function probeQemu(hasKvm: boolean): Promise<QemuFacts> {
  let program: string;
  try {
    program = findQemu();
  } catch {
    return NOTHING;
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'cocos-q-'));
  let qemu: HostProcess | null = null;
  try {
    const socket = path.join(folder, 'qmp.sock');
    qemu = await startHostProcess(
      program,
      [
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-monitor', 'none'],
        ...['-machine', 'none', '-accel', hasKvm ? 'kvm' : 'tcg'],
        ...['-qmp', `unix:${socket},server=on,wait=off`],
      ],
      path.join(folder, 'qemu.log'),
    );
    return { program, ...(await ask(socket, qemu)) };
  } catch {
    return { ...NOTHING, program };
  } finally {
    await qemu?.end();
    await rm(folder, { recursive: true, force: true });
  }
}

async function ask(socket: string, qemu: HostProcess): Promise<Omit<QemuFacts, 'program'>> {
  const client = await firstHello(qemu, socket, PROBE_LIMIT_MS);
  if (client === 'ended' || client === 'late')
    throw new CocosError('VM_LAUNCH_FAILED', `QEMU sent no QMP hello at ${socket}.`);
  try {
    const version = Version.parse(await client.execute('query-version'));
    const types = Types.parse(
      await client.execute('qom-list-types', { implements: 'confidential-guest-support' }),
    );
    const teeObjects = new Set(types.map(({ name }) => name));
    const base = { version: [version.qemu.major, version.qemu.minor] as const, teeObjects };
    try {
      const sev = SevCapabilities.parse(await client.execute('query-sev-capabilities'));
      return { ...base, sev, sevProblem: '' };
    } catch (thrown) {
      const error = CocosError.from(thrown);
      return { ...base, sev: null, sevProblem: error.message };
    }
  } finally {
    client.close();
  }
}
