import {
  AIK_PURPOSE,
  authorityKeyId,
  bitString,
  CRITICAL,
  constraints,
  element,
  explicit,
  extension,
  ID,
  integer,
  name,
  none,
  octetString,
  oid,
  sequence,
  subjectKeyId,
  usage,
  utf8String,
} from './chain.ts';
import { anyOf, authorityOf, type Change, edit, issuerOf, leafOf, put, rootOf, without } from './change.ts';

const UNKNOWN = '1.3.6.1.4.1.99999.1';
const purposes = (...ids: readonly string[]): Uint8Array => sequence(...ids.map((id) => oid(id)));
const FALSE = element(0x01, Uint8Array.of(0));
/** A subtree of directory names (RFC 5280 4.2.1.10): 0 permits only what is in it, 1 excludes it. */
const subtree = (kind: 0 | 1, base: Uint8Array): Uint8Array =>
  sequence(element(0xa0 | kind, sequence(explicit(4, base))));
const inside = name(['2.5.4.10', utf8String('Example Corporation')]);
const outside = name(['2.5.4.10', utf8String('Somebody else')]);
const dnsName = sequence(element(0x82, Buffer.from('host.example')));

/** Extensions of certificates (RFC 5280 4.2). */
export const EXTENSION_CHANGES: readonly Change[] = [
  {
    name: 'unknown critical extension',
    apply: (chain, random) => put(anyOf(chain, random), extension(UNKNOWN, octetString(none()), true)),
  },
  {
    name: 'unknown extension',
    apply: (chain, random) => put(anyOf(chain, random), extension(UNKNOWN, octetString(none()))),
  },
  {
    name: 'repeated key usage',
    apply: (chain, random) => {
      const fields = anyOf(chain, random);
      fields.extensions.push(...fields.extensions.filter(({ oid: id }) => id === ID.keyUsage));
    },
  },
  {
    name: 'repeated unknown extension',
    apply: (chain, random) => {
      const twice = extension(UNKNOWN, octetString(none()));
      anyOf(chain, random).extensions.push(twice, twice);
    },
  },
  {
    name: 'critical flag written as FALSE',
    apply: (chain, random) =>
      put(anyOf(chain, random), { ...extension(UNKNOWN, octetString(none())), critical: FALSE }),
  },
  {
    name: 'critical flag written as 1',
    apply: (chain, random) =>
      edit(anyOf(chain, random), ID.keyUsage, { critical: element(0x01, Uint8Array.of(1)) }),
  },
  {
    name: 'no basic constraints',
    apply: (chain, random) => without(authorityOf(chain, random), ID.basicConstraints),
  },
  {
    name: 'not a CA',
    apply: (chain, random) =>
      edit(authorityOf(chain, random), ID.basicConstraints, {
        value: sequence(...(random.chance(0.5) ? [FALSE] : [])),
      }),
  },
  { name: 'root without basic constraints', apply: (chain) => without(rootOf(chain), ID.basicConstraints) },
  {
    name: 'basic constraints not critical',
    apply: (chain, random) => edit(authorityOf(chain, random), ID.basicConstraints, { critical: none() }),
  },
  {
    name: 'sufficient path length',
    apply: (chain) =>
      chain.certificates.slice(1).forEach((fields, below) => {
        edit(fields, ID.basicConstraints, { value: constraints(below) });
      }),
  },
  {
    name: 'exceeded path length',
    apply: (chain) =>
      edit(rootOf(chain), ID.basicConstraints, { value: constraints(chain.certificates.length - 3) }),
  },
  {
    name: 'negative path length',
    apply: (chain, random) =>
      edit(authorityOf(chain, random), ID.basicConstraints, {
        value: sequence(CRITICAL, element(0x02, Uint8Array.of(0xff))),
      }),
  },
  {
    name: 'path length of no CA',
    apply: (chain) => put(leafOf(chain), extension(ID.basicConstraints, sequence(integer(0)), true)),
  },
  {
    name: 'leaf is a CA',
    apply: (chain) => {
      put(leafOf(chain), extension(ID.basicConstraints, constraints(), true));
      put(leafOf(chain), extension(ID.keyUsage, usage(0, 5), true));
      put(leafOf(chain), subjectKeyId(leafOf(chain).spki));
    },
  },
  {
    name: 'basic constraints of a leaf',
    apply: (chain) => put(leafOf(chain), extension(ID.basicConstraints, sequence(), true)),
  },
  {
    name: 'bytes after basic constraints',
    apply: (chain, random) =>
      edit(authorityOf(chain, random), ID.basicConstraints, {
        value: Buffer.concat([constraints(), integer(1)]),
      }),
  },
  { name: 'no key usage', apply: (chain, random) => without(authorityOf(chain, random), ID.keyUsage) },
  { name: 'leaf without key usage', apply: (chain) => without(leafOf(chain), ID.keyUsage) },
  {
    name: 'key usage without keyCertSign',
    apply: (chain, random) => edit(authorityOf(chain, random), ID.keyUsage, { value: usage(0, 6) }),
  },
  {
    name: 'root without keyCertSign',
    apply: (chain) => edit(rootOf(chain), ID.keyUsage, { value: usage(0, 6) }),
  },
  {
    name: 'key usage not critical',
    apply: (chain, random) => edit(anyOf(chain, random), ID.keyUsage, { critical: none() }),
  },
  {
    name: 'leaf without digitalSignature',
    apply: (chain) => edit(leafOf(chain), ID.keyUsage, { value: usage(2) }),
  },
  {
    name: 'keyCertSign of no CA',
    apply: (chain) => edit(leafOf(chain), ID.keyUsage, { value: usage(0, 5) }),
  },
  {
    name: 'empty key usage',
    apply: (chain) => edit(leafOf(chain), ID.keyUsage, { value: bitString(none()) }),
  },
  {
    name: 'key usage of another type',
    apply: (chain, random) =>
      edit(authorityOf(chain, random), ID.keyUsage, { value: octetString(Uint8Array.of(6)) }),
  },
  {
    name: 'key usage with eight unused bits',
    apply: (chain, random) =>
      edit(anyOf(chain, random), ID.keyUsage, { value: bitString(Uint8Array.of(0x86), 8) }),
  },
  {
    name: 'no purpose of an attestation key',
    family: 'attestation-key',
    apply: (chain, random) => {
      // Code signing, or any purpose.
      const other = random.pick(['1.3.6.1.5.5.7.3.3', '2.5.29.37.0']);
      if (random.chance(0.3)) without(leafOf(chain), ID.extendedKeyUsage);
      else edit(leafOf(chain), ID.extendedKeyUsage, { value: purposes(other) });
    },
  },
  {
    name: 'several purposes, critical',
    family: 'attestation-key',
    apply: (chain) =>
      edit(leafOf(chain), ID.extendedKeyUsage, {
        value: purposes('1.3.6.1.5.5.7.3.2', AIK_PURPOSE),
        critical: CRITICAL,
      }),
  },
  {
    name: 'authority for attestation keys',
    family: 'attestation-key',
    apply: (chain, random) =>
      put(authorityOf(chain, random), extension(ID.extendedKeyUsage, purposes(AIK_PURPOSE))),
  },
  {
    name: 'authority for other purposes',
    family: 'attestation-key',
    apply: (chain, random) =>
      put(
        authorityOf(chain, random),
        extension(ID.extendedKeyUsage, purposes('1.3.6.1.5.5.7.3.1'), random.chance(0.5)),
      ),
  },
  {
    name: 'name constraints that allow the names',
    apply: (chain, random) =>
      put(authorityOf(chain, random), extension('2.5.29.30', subtree(0, inside), random.chance(0.5))),
  },
  {
    name: 'name constraints that forbid the names',
    apply: (chain, random) =>
      put(
        authorityOf(chain, random),
        extension(
          '2.5.29.30',
          random.chance(0.5) ? subtree(0, outside) : subtree(1, inside),
          random.chance(0.5),
        ),
      ),
  },
  {
    name: 'critical policy constraints',
    apply: (chain, random) =>
      put(
        authorityOf(chain, random),
        random.pick([
          extension('2.5.29.36', sequence(element(0x80, Uint8Array.of(0))), true),
          extension('2.5.29.54', integer(0), true),
          extension('2.5.29.32', sequence(sequence(oid('1.3.6.1.4.1.99999.2'))), true),
        ]),
      ),
  },
  {
    name: 'certificate policies',
    apply: (chain, random) =>
      put(anyOf(chain, random), extension('2.5.29.32', sequence(sequence(oid('1.3.6.1.4.1.99999.2'))))),
  },
  { name: 'no authority key identifier', apply: (chain) => without(leafOf(chain), ID.authorityKeyId) },
  { name: 'no subject key identifier', apply: (chain) => without(issuerOf(chain), ID.subjectKeyId) },
  {
    name: 'other authority key identifier',
    apply: (chain) => put(leafOf(chain), authorityKeyId(leafOf(chain).spki)),
  },
  {
    name: 'authority key identifier by serial number',
    apply: (chain) => {
      const issuer = issuerOf(chain);
      const value = sequence(
        element(0xa1, explicit(4, issuer.issuer)),
        element(0x82, issuer.serial.subarray(2)),
      );
      put(leafOf(chain), extension(ID.authorityKeyId, value));
    },
  },
  {
    name: 'critical key identifier',
    apply: (chain, random) =>
      random.chance(0.5)
        ? edit(leafOf(chain), ID.authorityKeyId, { critical: CRITICAL })
        : edit(issuerOf(chain), ID.subjectKeyId, { critical: CRITICAL }),
  },
  {
    name: 'alternative name',
    apply: (chain) => put(leafOf(chain), extension(ID.alternativeName, dnsName)),
  },
];
