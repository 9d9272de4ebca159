import { certificateDers, looksLikePem, pemBlocks } from '../../attestation/x509/pem.ts';
import { CocosError } from '../../errors.ts';
import { parseFailure, readInput } from '../files.ts';

/** Evidence files that the user names. Every failure to read one has exit code 74. */

/** @throws CocosError FILE_UNREADABLE, also for a missing file */
export async function readEvidence(file: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readInput(file));
  } catch (thrown) {
    const error = CocosError.from(thrown);
    throw new CocosError('FILE_UNREADABLE', error.message, { cause: error });
  }
}

/** Certificates in DER from files in PEM (any number in each) or DER. @throws CocosError FILE_UNREADABLE */
export async function readCertificates(files: readonly string[]): Promise<Uint8Array[]> {
  const all = await Promise.all(
    files.map(async (file) => {
      const bytes = await readEvidence(file);
      return inFile(file, () => certificateDers(bytes));
    }),
  );
  return all.flat();
}

/** The certificate of a file that must hold exactly one. @throws CocosError FILE_UNREADABLE */
export async function readCertificate(file: string): Promise<Uint8Array> {
  const [first, ...more] = await readCertificates([file]);
  if (first !== undefined && more.length === 0) return first;
  const found = first === undefined ? 'no certificate' : `${more.length + 1} certificates`;
  throw new CocosError('FILE_UNREADABLE', `${file} contains ${found}: expected exactly one.`);
}

/** Revocation lists in DER from files in PEM or DER. @throws CocosError FILE_UNREADABLE */
export async function readRevocationLists(files: readonly string[]): Promise<Uint8Array[]> {
  const all = await Promise.all(
    files.map(async (file) => {
      const bytes = await readEvidence(file);
      if (!looksLikePem(bytes)) return [bytes];
      const blocks = inFile(file, () => pemBlocks(Buffer.from(bytes).toString('latin1')));
      const lists = blocks.filter(({ label }) => label === 'X509 CRL').map(({ der }) => der);
      if (lists.length === 0)
        throw new CocosError(
          'FILE_UNREADABLE',
          `${file} contains no revocation list: expected an X509 CRL block or DER.`,
        );
      return lists;
    }),
  );
  return all.flat();
}

/** Adds the name of the file to an error of its parser. */
export function inFile<T>(file: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new CocosError('FILE_UNREADABLE', parseFailure(file, cause), { cause });
  }
}
