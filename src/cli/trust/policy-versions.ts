import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { parseStrictJson } from '../../attestation/encoding/strict-json.ts';
import type { OpenedPolicy } from '../../attestation/policy/signed-policy.ts';
import { sha256Text } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import { notWritten, unreadable, writeNew } from '../files.ts';

/**
 * The newest version of each signed policy that this user has accepted: an older one, which somebody kept, is refused although
 * its signature is valid.
 */

const Seen = z.strictObject({
  key: z.string(),
  name: z.string(),
  policyVersion: z.int().min(1),
  /** Of the policy's bytes. */
  digest: z.string(),
});
type Seen = z.infer<typeof Seen>;

/** Folder of what the command line remembers between commands. */
export function profileFolder(environment: NodeJS.ProcessEnv): string {
  const state = environment['XDG_STATE_HOME'] ?? path.join(environment['HOME'] ?? '/', '.local', 'state');
  return environment['COCOSAI_PROFILE_DIR'] ?? path.join(state, 'cocosai');
}

async function lastSeen(file: string): Promise<Seen | null> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const error = unreadable(file, cause);
    if (error.code === 'FILE_NOT_FOUND') return null;
    throw error;
  });
  if (text === null) return null;
  const damaged = `${file}, which records the newest version of a signed policy, is damaged. Remove it if you know that your policy is the current one.`;
  try {
    return Seen.parse(parseStrictJson(text));
  } catch (cause) {
    throw new CocosError('FILE_UNREADABLE', damaged, { cause });
  }
}

async function record(folder: string, file: string, seen: Seen): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw notWritten(folder, cause);
  });
  const fresh = `${file}.${randomBytes(8).toString('hex')}`;
  await writeNew(fresh, `${JSON.stringify(seen, null, 2)}\n`, 0o600);
  await rename(fresh, file).catch(async (cause: unknown) => {
    await rm(fresh, { force: true });
    throw notWritten(file, cause);
  });
}

/**
 * Refuses a version below the newest one that was accepted from this signer under this name, and another policy of the same
 * version. Records a newer one.
 *
 * @throws CocosError POLICY_INVALID, FILE_UNREADABLE
 */
export async function refuseRollback(
  { policy, key, terms: { name, policyVersion } }: OpenedPolicy,
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const folder = path.join(profileFolder(environment), 'policies');
  const id = sha256Text(Buffer.from(`${key}\0${name}`)).replace(/^sha256:/, '');
  const file = path.join(folder, `${id}.json`);
  const digest = sha256Text(policy);
  const last = await lastSeen(file);
  if (last === null || last.policyVersion < policyVersion) {
    await record(folder, file, { key, name, policyVersion, digest });
    return;
  }
  const newest = `version ${last.policyVersion} of '${name}' was accepted before (${file})`;
  if (policyVersion < last.policyVersion)
    throw new CocosError(
      'POLICY_INVALID',
      `the policy has version ${policyVersion}, but ${newest}; get the current one from its signer`,
    );
  if (digest !== last.digest)
    throw new CocosError(
      'POLICY_INVALID',
      `the policy differs from the one of the same version: ${newest}; its signer must give each policy its own version`,
    );
}
