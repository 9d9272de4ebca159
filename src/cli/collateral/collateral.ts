import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import { type Collateral, NO_COLLATERAL } from '../../attestation/collateral/collateral.ts';
import {
  classifyCollateral,
  MAX_COLLATERAL_FILE_BYTES,
  mergeCollateral,
} from '../../attestation/collateral/collateral-files.ts';
import { sha256 } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import { parseFailure, readInput, writeNew } from '../files.ts';
import { userFolder } from '../user-folders.ts';

/** The local folder of vendor collateral, so that appraisal needs no network. */

const MAX_FILES = 4096;
const MAX_DEPTH = 4;

/** The default folder. */
export function defaultCollateralFolder(environment: NodeJS.ProcessEnv): string {
  const named = environment['COCOSAI_COLLATERAL_DIR'];
  if (named !== undefined && named !== '') return named;
  return path.join(userFolder('XDG_CACHE_HOME', environment), 'cocosai', 'collateral');
}

async function filesBelow(folder: string, depth: number): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw new CocosError('FILE_UNREADABLE', `Cannot read the folder ${folder}.`, { cause });
  });
  const files: string[] = [];
  for (const entry of entries.toSorted((a, b) => a.name.localeCompare(b.name))) {
    const file = path.join(folder, entry.name);
    if (entry.isFile()) files.push(file);
    else if (entry.isDirectory() && depth < MAX_DEPTH) files.push(...(await filesBelow(file, depth + 1)));
  }
  if (files.length > MAX_FILES)
    throw new CocosError('LIMIT_EXCEEDED', `The folder ${folder} has more than ${MAX_FILES} files.`);
  return files;
}

/** Reads a file of collateral; null for another kind of file. @throws CocosError FILE_UNREADABLE if it is malformed */
export async function readCollateralFile(file: string): Promise<Collateral | null> {
  const bytes = await readInput(file);
  if (bytes.length > MAX_COLLATERAL_FILE_BYTES) return null;
  try {
    return classifyCollateral(bytes);
  } catch (cause) {
    throw new CocosError('FILE_UNREADABLE', parseFailure(file, cause), { cause });
  }
}

/**
 * Reads all collateral in a folder and its subfolders. Other kinds of files are ignored, so that a folder of saved vendor
 * answers can be used unchanged.
 *
 * @throws CocosError FILE_UNREADABLE
 */
export async function readCollateral(folder: string): Promise<Collateral> {
  const parts: Collateral[] = [];
  for (const file of await filesBelow(folder, 0)) {
    const part = await readCollateralFile(file);
    if (part !== null) parts.push(part);
  }
  return mergeCollateral(parts);
}

/** The named folder, or the default one where it exists. @throws CocosError FILE_UNREADABLE */
export async function collateralOf(
  named: string | undefined,
  environment: NodeJS.ProcessEnv,
): Promise<Collateral> {
  if (named !== undefined) return readCollateral(named);
  const folder = defaultCollateralFolder(environment);
  // A missing default folder means no collateral; an unreadable one is an error.
  return existsSync(folder) ? readCollateral(folder) : NO_COLLATERAL;
}

const decode = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Writes one file per item, named by its digest, so that importing it again changes nothing. */
export async function storeCollateral(collateral: Collateral, folder: string): Promise<string[]> {
  const signed = (name: string, { body, signature }: { body: Uint8Array; signature: Uint8Array }): string =>
    `{"${name}":${decode(body)},"signature":"${hex(signature)}"}`;
  const items: readonly (readonly [string, Uint8Array])[] = [
    ...collateral.certificates.map((der) => ['certificate.der', der] as const),
    ...collateral.revocationLists.map((der) => ['revocation-list.crl', der] as const),
    ...collateral.tcbInfos.map((item) => ['tcb-info.json', Buffer.from(signed('tcbInfo', item))] as const),
    ...collateral.qeIdentities.map(
      (item) => ['qe-identity.json', Buffer.from(signed('enclaveIdentity', item))] as const,
    ),
  ];
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
    throw new CocosError('FILE_UNREADABLE', `Cannot create the folder ${folder}.`, { cause });
  });
  const written: string[] = [];
  for (const [kind, bytes] of items) {
    const file = path.join(folder, `${hex(sha256(bytes)).slice(0, 32)}-${kind}`);
    const fresh = await writeNew(file, bytes).then(
      () => true,
      (thrown: unknown) => {
        if (CocosError.from(thrown).code === 'FILE_EXISTS') return false;
        throw thrown;
      },
    );
    if (fresh) written.push(file);
  }
  return written;
}
