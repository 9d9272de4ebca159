import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { parseStrictJson } from '../../attestation/encoding/strict-json.ts';
import type { OpenedPolicy } from '../../attestation/policy/signed-policy.ts';
import { sha256Text } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import { notWritten, publishFile, unreadable, writeNew } from '../files.ts';
import { absolute, userFolder } from '../user-folders.ts';

/**
 * The versions of signed policies that this user has accepted: an older one than the newest, which somebody kept, is refused
 * although its signature is valid. Each version has a file of its own, which is never replaced: of two commands at the same
 * moment, neither can undo what the other has recorded.
 */

const Seen = z.strictObject({
  key: z.string(),
  name: z.string(),
  policyVersion: z.int().min(1),
  /** Of the policy's bytes. */
  digest: z.string(),
});
type Seen = z.infer<typeof Seen>;

const RECORD = /^([1-9][0-9]{0,15})\.json$/;

/** Folder of what the command line remembers between commands. */
export function profileFolder(environment: NodeJS.ProcessEnv): string {
  const named = absolute(environment['COCOSAI_PROFILE_DIR']);
  return named ?? path.join(userFolder('XDG_STATE_HOME', environment), 'cocosai');
}

/** The highest version of which there is a record; 0 for none. */
async function newestIn(folder: string): Promise<number> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw unreadable(folder, cause);
  });
  return Math.max(0, ...names.map((name) => Number(RECORD.exec(name)?.[1] ?? 0)));
}

async function readRecord(file: string): Promise<Seen> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw unreadable(file, cause);
  });
  const damaged = `${file}, which records a version of a signed policy, is damaged. Remove it if you know that your policy is the current one.`;
  try {
    return Seen.parse(parseStrictJson(text));
  } catch (cause) {
    throw new CocosError('FILE_UNREADABLE', damaged, { cause });
  }
}

/** Leaves a record of the same version as it is. */
async function record(file: string, seen: Seen): Promise<void> {
  const fresh = `${file}.${randomBytes(8).toString('hex')}`;
  await writeNew(fresh, `${JSON.stringify(seen, null, 2)}\n`, 0o600);
  try {
    await publishFile(fresh, file);
  } catch (thrown) {
    if (CocosError.from(thrown).code !== 'FILE_EXISTS') throw thrown;
  } finally {
    await rm(fresh, { force: true });
  }
}

/**
 * Records the version of a policy, and refuses it below the newest one that was accepted from this signer under this name,
 * or if it is another policy of the same version.
 *
 * @throws CocosError POLICY_INVALID, FILE_UNREADABLE
 */
export async function refuseRollback(
  { policy, key, terms: { name, policyVersion } }: OpenedPolicy,
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const id = sha256Text(Buffer.from(`${key}\0${name}`)).replace(/^sha256:/, '');
  const folder = path.join(profileFolder(environment), 'policies', id);
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw notWritten(folder, cause);
  });
  const own = path.join(folder, `${policyVersion}.json`);
  const digest = sha256Text(policy);
  if ((await newestIn(folder)) <= policyVersion) await record(own, { key, name, policyVersion, digest });
  // Read again: another command may have recorded a newer one meanwhile.
  const newest = await newestIn(folder);
  if (newest > policyVersion)
    throw new CocosError(
      'POLICY_INVALID',
      `the policy has version ${policyVersion}, but version ${newest} of '${name}' was accepted before (${folder}); get the current one from its signer`,
    );
  if (digest !== (await readRecord(own)).digest)
    throw new CocosError(
      'POLICY_INVALID',
      `the policy differs from the one of the same version that was accepted before (${own}); its signer must give each policy its own version`,
    );
}
