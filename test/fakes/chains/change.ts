import type { Seeded } from '../../seeded.ts';
import type { CertificateFields, Chain, ExtensionFields, ListFields } from './chain.ts';

/** One property of a chain that a test changes. */
export interface Change {
  readonly name: string;
  /** Chains it applies to; all of them by default. */
  readonly family?: Chain['family'];
  /** Not made together with another one: that one may need what this one removes, or change what is above the anchor. */
  readonly alone?: true;
  readonly apply: (chain: Chain, random: Seeded) => void;
}

function at(chain: Chain, index: number): CertificateFields {
  const found = chain.certificates[index];
  if (found === undefined) throw new Error(`a chain has no certificate ${index}`);
  return found;
}

export const leafOf = (chain: Chain): CertificateFields => at(chain, 0);
export const rootOf = (chain: Chain): CertificateFields => at(chain, chain.certificates.length - 1);
/** An authority between leaf and root. */
export const authorityOf = (chain: Chain, random: Seeded): CertificateFields =>
  at(chain, 1 + random.below(chain.certificates.length - 2));
/** The authority that issued the leaf. */
export const issuerOf = (chain: Chain): CertificateFields => at(chain, 1);
export const anyOf = (chain: Chain, random: Seeded): CertificateFields =>
  at(chain, random.below(chain.certificates.length));

export function without(fields: CertificateFields, oid: string): void {
  fields.extensions = fields.extensions.filter((extension) => extension.oid !== oid);
}

/** Replaces an extension in its place, or adds it. */
export function put(fields: CertificateFields | ListFields, extension: ExtensionFields): void {
  const index = fields.extensions.findIndex(({ oid }) => oid === extension.oid);
  if (index < 0) fields.extensions.push(extension);
  else fields.extensions[index] = extension;
}

export function edit(fields: CertificateFields, oid: string, change: Partial<ExtensionFields>): void {
  const found = fields.extensions.find((extension) => extension.oid === oid);
  if (found !== undefined) put(fields, { ...found, ...change });
}

/** Renames an authority and those that it issued, itself included. */
export function rename(chain: Chain, fields: CertificateFields, name: Uint8Array): void {
  const before = fields.subject;
  for (const other of chain.certificates) {
    if (other.issuer === before) other.issuer = name;
    if (other.subject === before) other.subject = name;
  }
  for (const list of chain.lists) if (list.issuer === before) list.issuer = name;
}
