import { randomUUID, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeSelfSigned } from './certificate.ts';
import type { Signer } from './sign.ts';
import type { SecureBootCertificates } from './variable-store.ts';

/** Secure Boot keys of one installation. */

const NAMES = ['PK', 'KEK', 'db'] as const;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export interface SecureBootKeys extends SecureBootCertificates {
  readonly signer: Signer;
}

function certificateIn(file: string): Uint8Array {
  return new Uint8Array(new X509Certificate(readFileSync(file)).raw);
}

/**
 * The keys in a folder: `PK.crt`, `KEK.crt`, `db.crt` and `db.key` in PEM, and `owner.txt` with the GUID of their
 * owner. A folder without any of them gets new ones, with `PK.key` and `KEK.key` for later changes of the variables.
 */
export function secureBootKeys(folder: string): SecureBootKeys {
  const file = (name: string): string => join(folder, name);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (!existsSync(file('db.key')) && !NAMES.some((name) => existsSync(file(`${name}.crt`)))) {
    for (const name of NAMES) {
      const { key, certificate } = makeSelfSigned(`CocosAI EOS ${name}`);
      writeFileSync(file(`${name}.key`), key, { mode: 0o600 });
      writeFileSync(file(`${name}.crt`), new X509Certificate(certificate).toString());
    }
    writeFileSync(file('owner.txt'), `${randomUUID()}\n`);
  }
  const owner = readFileSync(file('owner.txt'), 'utf8').trim();
  if (!UUID.test(owner)) throw new Error(`${file('owner.txt')} holds no GUID`);
  const [pk, kek, db] = NAMES.map((name) => certificateIn(file(`${name}.crt`)));
  if (pk === undefined || kek === undefined || db === undefined) throw new Error(`${folder} lacks a key`);
  return { owner, pk, kek, db, signer: { key: readFileSync(file('db.key'), 'utf8'), certificate: db } };
}
