/**
 * Where our validator and openssl differ on purpose. The table in docs/path-validation.md has the same rows.
 */
export interface Difference {
  readonly name: string;
  /** What we say; openssl says the opposite. */
  readonly ours: 'accepted' | 'rejected';
  readonly why: string;
  readonly changes: readonly string[];
}

export const DIFFERENCES: readonly Difference[] = [
  {
    name: 'other encodings than DER',
    ours: 'rejected',
    why: 'RFC 5280 4.1 requires DER. A structure with several encodings has several digests.',
    changes: [
      'critical flag written as FALSE',
      'critical flag written as 1',
      'bytes after basic constraints',
      'length not in shortest form',
      'indefinite length',
      'byte after a certificate',
      'GeneralizedTime before 2050',
    ],
  },
  {
    name: 'other versions and unique identifiers',
    ours: 'rejected',
    why: 'Only version 3 has extensions that say what a key may do, and RFC 5280 4.1.2.8 forbids unique identifiers.',
    changes: ['leaf of version 1', 'version 4', 'unique identifier'],
  },
  {
    name: 'repeated extensions',
    ours: 'rejected',
    why: 'RFC 5280 4.2 forbids them. openssl looks for repetitions of the extensions that it knows.',
    changes: ['repeated unknown extension'],
  },
  {
    name: 'unreadable certificates beside the path',
    ours: 'rejected',
    why: 'Evidence is read as a whole, and a part of it that cannot be read is damaged. openssl stops reading there.',
    changes: ['unreadable certificate of somebody else'],
  },
  {
    name: 'names in other character sets',
    ours: 'rejected',
    why: 'Verdicts show common names, which are read as UTF8String, PrintableString or IA5String.',
    changes: ['name in 16-bit characters'],
  },
  {
    name: 'spellings of a name',
    ours: 'rejected',
    why: 'Names are compared byte by byte, where RFC 5280 7.1 leaves out case and spaces. The platforms copy the name of the issuer.',
    changes: ['issuer in another case', 'issuer in another string type', 'issuer with other spaces'],
  },
  {
    name: 'keys and algorithms that no evidence uses',
    ours: 'rejected',
    why: 'Each algorithm is another way to be wrong. Those of AMD, Intel and the TPMs of clouds are known.',
    changes: [
      'signed with SHA-224',
      'signed with ECDSA and SHA-224',
      'signed with PSS and SHA-256',
      'signed with PSS and a short salt',
      'signed with P-521',
      'signed with secp256k1',
      'key of P-521',
      'compressed point',
    ],
  },
  {
    name: 'purpose of the leaf',
    ours: 'rejected',
    why: 'openssl verifies for no purpose here. The leaf must be no CA, may sign data, and is made for attestation keys.',
    changes: ['leaf is a CA', 'leaf without digitalSignature', 'no purpose of an attestation key'],
  },
  {
    name: 'purposes of an authority',
    ours: 'rejected',
    why: 'The purposes of an authority limit those of the certificates below it, as public authorities use them.',
    changes: ['authority for other purposes'],
  },
  {
    name: 'constraints on names and policies',
    ours: 'rejected',
    why: 'They are not processed, so that no certificate with one is accepted, critical or not.',
    changes: ['name constraints that allow the names', 'critical policy constraints'],
  },
  {
    name: 'self-issued authorities',
    ours: 'rejected',
    why: 'They count towards the path length. RFC 5280 4.2.1.9 leaves them out, and no platform uses them.',
    changes: ['self-issued authority within the path length'],
  },
  {
    name: 'lists that do not show that they are current or complete',
    ours: 'rejected',
    why: 'A list has a version 2 and an end, and is no list of changes. RFC 5280 5.1.2.5 requires the end.',
    changes: ['list without an end', 'list of version 1', 'list of changes', 'list of changes, not critical'],
  },
  {
    name: 'revocation in an older list',
    ours: 'rejected',
    why: 'What an authority has once revoked stays revoked, also if a newer list leaves it out.',
    changes: ['leaf revoked in an older list only'],
  },
  {
    name: 'key identifiers',
    ours: 'accepted',
    why: 'RFC 5280 4.2.1.1 requires them of issuers. They help to find a key; here the signature decides.',
    changes: [
      'no authority key identifier',
      'no authority key identifier in an authority',
      'no subject key identifier',
      'other authority key identifier',
      'authority key identifier by serial number',
    ],
  },
  {
    name: 'basic constraints that are not critical',
    ours: 'accepted',
    why: 'RFC 5280 4.2.1.9 requires the flag of issuers. The extension is read with or without it.',
    changes: ['basic constraints not critical'],
  },
  {
    name: 'leaves without a name',
    ours: 'accepted',
    why: 'RFC 5280 4.1.2.6 requires another name of issuers. An attestation key is recognised by itself, not by a name.',
    changes: ['leaf without a name, with an alternative one', 'leaf without any name'],
  },
  {
    name: 'the last second',
    ours: 'accepted',
    why: 'RFC 5280 4.1.2.5 includes notAfter, and 6.3.3 uses a list until nextUpdate. openssl excludes that second.',
    changes: ['valid to this second', 'list to this second'],
  },
  {
    name: 'weak key in the leaf',
    ours: 'accepted',
    why: 'The chain is valid, and the quote that such a key signs is rejected in its own check.',
    changes: ['key of RSA-1024'],
  },
];
