import { flipBit } from '../mutate.ts';
import {
  AT,
  authorityKeyId,
  type CertificateFields,
  type Chain,
  commonName,
  constraints,
  DAY,
  element,
  explicit,
  extension,
  ID,
  integer,
  name,
  none,
  printable,
  sequence,
  subjectKeyId,
  time,
  utf8String,
} from './chain.ts';
import {
  anyOf,
  authorityOf,
  type Change,
  edit,
  issuerOf,
  leafOf,
  put,
  rename,
  rootOf,
  without,
} from './change.ts';
import { otherKey, SCHEMES, spkiOf } from './keys.ts';

const SECOND = 1000;
const generalized = (ms: number): Uint8Array =>
  element(0x18, Buffer.from(`${new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '')}`));
const utc = (text: string): Uint8Array => element(0x17, Buffer.from(text));
const common = (text: Uint8Array): Uint8Array => name(['2.5.4.3', text]);
const organised = (text: Uint8Array, organisation = 'Example Corporation'): Uint8Array =>
  name(['2.5.4.10', utf8String(organisation)], ['2.5.4.3', text]);
const alternative = (critical: boolean) =>
  extension(ID.alternativeName, sequence(element(0x82, Buffer.from('host.example'))), critical);
const anyAuthority = (chain: Chain): CertificateFields => issuerOf(chain);

/** Names of the two families for the authority above the leaf. */
const issuerName = (chain: Chain): string =>
  chain.family === 'pck' ? 'Intel SGX PCK Platform CA' : 'Issuing CA';

/** Names, validity, versions and serial numbers (RFC 5280 4.1.2). */
export const FIELD_CHANGES: readonly Change[] = [
  {
    name: 'issuer of another name',
    apply: (chain) => Object.assign(leafOf(chain), { issuer: commonName('Other CA') }),
  },
  {
    name: 'issuer in another case',
    apply: (chain) =>
      Object.assign(leafOf(chain), {
        issuer: organised(utf8String(issuerName(chain)), 'EXAMPLE corporation'),
      }),
  },
  {
    name: 'issuer in another string type',
    apply: (chain) => Object.assign(leafOf(chain), { issuer: organised(printable(issuerName(chain))) }),
  },
  {
    name: 'issuer with other spaces',
    apply: (chain) =>
      Object.assign(leafOf(chain), {
        issuer: organised(utf8String(issuerName(chain)), ' Example  Corporation'),
      }),
  },
  {
    name: 'authority named in printable characters',
    apply: (chain) => rename(chain, anyAuthority(chain), organised(printable(issuerName(chain)))),
  },
  {
    name: 'issuer with the parts in another order',
    apply: (chain) =>
      Object.assign(leafOf(chain), {
        issuer: name(
          ['2.5.4.3', utf8String(issuerName(chain))],
          ['2.5.4.10', utf8String('Example Corporation')],
        ),
      }),
  },
  {
    name: 'authority without a name',
    family: 'attestation-key',
    apply: (chain, random) => rename(chain, authorityOf(chain, random), sequence()),
  },
  {
    name: 'leaf without a name, with a critical alternative one',
    family: 'attestation-key',
    apply: (chain) => {
      leafOf(chain).subject = sequence();
      put(leafOf(chain), alternative(true));
    },
  },
  {
    name: 'leaf without a name, with an alternative one',
    family: 'attestation-key',
    apply: (chain) => {
      leafOf(chain).subject = sequence();
      put(leafOf(chain), alternative(false));
    },
  },
  {
    name: 'leaf without any name',
    family: 'attestation-key',
    apply: (chain) => Object.assign(leafOf(chain), { subject: sequence() }),
  },
  {
    name: 'name in 16-bit characters',
    family: 'attestation-key',
    apply: (chain) => Object.assign(leafOf(chain), { subject: common(element(0x1e, Buffer.from('\0A\0K'))) }),
  },
  {
    name: 'name that is not UTF-8',
    family: 'attestation-key',
    apply: (chain) =>
      Object.assign(leafOf(chain), { subject: common(element(0x0c, Uint8Array.of(0xc3, 0x28))) }),
  },
  {
    name: 'self-issued authority within the path length',
    family: 'attestation-key',
    apply: (chain) => {
      const [leaf, issuer, ...above] = chain.certificates;
      if (leaf === undefined || issuer === undefined) return;
      // The issuer certifies a new key of its own, which issues the leaf; the path length counts neither twice.
      const key = otherKey('p256');
      const fresh: CertificateFields = {
        ...issuer,
        key,
        spki: spkiOf(key),
        issuer: issuer.subject,
        serial: integer(4242),
        signer: { key: issuer.key, scheme: leaf.signer.scheme },
        extensions: issuer.extensions.map((each) => ({ ...each })),
      };
      put(fresh, subjectKeyId(fresh.spki));
      put(fresh, authorityKeyId(issuer.spki));
      leaf.signer = { key, scheme: SCHEMES['ecdsa-sha256'] };
      put(leaf, authorityKeyId(fresh.spki));
      edit(issuer, ID.basicConstraints, { value: constraints(0) });
      chain.certificates = [leaf, fresh, issuer, ...above];
      chain.anchor += 1;
    },
  },
  { name: 'leaf expired', apply: (chain) => Object.assign(leafOf(chain), { notAfter: time(AT - SECOND) }) },
  {
    name: 'authority expired',
    apply: (chain, random) => Object.assign(authorityOf(chain, random), { notAfter: time(AT - DAY) }),
  },
  { name: 'root expired', apply: (chain) => Object.assign(rootOf(chain), { notAfter: time(AT - DAY) }) },
  {
    name: 'not yet valid',
    apply: (chain, random) => Object.assign(anyOf(chain, random), { notBefore: time(AT + SECOND) }),
  },
  {
    name: 'valid from this second',
    apply: (chain, random) => Object.assign(anyOf(chain, random), { notBefore: time(AT) }),
  },
  {
    name: 'valid to this second',
    apply: (chain, random) => Object.assign(anyOf(chain, random), { notAfter: time(AT) }),
  },
  {
    name: 'valid beyond 2050',
    apply: (chain, random) => Object.assign(anyOf(chain, random), { notAfter: time(AT + 20_000 * DAY) }),
  },
  {
    name: 'end before the start',
    apply: (chain, random) =>
      Object.assign(anyOf(chain, random), { notBefore: time(AT + DAY), notAfter: time(AT - DAY) }),
  },
  {
    name: 'GeneralizedTime before 2050',
    apply: (chain, random) => Object.assign(anyOf(chain, random), { notAfter: generalized(AT + 100 * DAY) }),
  },
  {
    name: 'time without seconds',
    apply: (chain, random) => Object.assign(anyOf(chain, random), { notAfter: utc('2706010000Z') }),
  },
  {
    name: 'time with an offset',
    apply: (chain, random) => Object.assign(anyOf(chain, random), { notAfter: utc('270601000000+0100') }),
  },
  {
    name: 'day that does not exist',
    apply: (chain, random) => Object.assign(anyOf(chain, random), { notAfter: utc('270230000000Z') }),
  },
  {
    name: 'leaf of version 1',
    apply: (chain) => Object.assign(leafOf(chain), { version: none(), extensions: [] }),
  },
  {
    name: 'authority of version 1',
    apply: (chain, random) => Object.assign(authorityOf(chain, random), { version: none(), extensions: [] }),
  },
  {
    name: 'root of version 1',
    apply: (chain) => Object.assign(rootOf(chain), { version: none(), extensions: [] }),
  },
  {
    name: 'extensions in version 2',
    apply: (chain, random) => Object.assign(anyOf(chain, random), { version: explicit(0, integer(1)) }),
  },
  {
    name: 'version 4',
    apply: (chain, random) => Object.assign(anyOf(chain, random), { version: explicit(0, integer(3)) }),
  },
  {
    name: 'unique identifier',
    apply: (chain, random) =>
      Object.assign(anyOf(chain, random), { uniqueIds: element(0x81, Uint8Array.of(0, 1, 2)) }),
  },
  { name: 'serial number 0', apply: (chain) => Object.assign(leafOf(chain), { serial: integer(0) }) },
  {
    name: 'negative serial number',
    apply: (chain) => Object.assign(leafOf(chain), { serial: element(0x02, Uint8Array.of(0x81)) }),
  },
  {
    name: 'serial number of 24 bytes',
    apply: (chain) => Object.assign(leafOf(chain), { serial: element(0x02, new Uint8Array(24).fill(0x11)) }),
  },
  {
    name: 'serial number with leading zeros',
    apply: (chain) => Object.assign(leafOf(chain), { serial: element(0x02, Uint8Array.of(0, 0, 7)) }),
  },
  {
    name: 'damaged signature',
    apply: (chain, random) =>
      Object.assign(
        // What the root says of itself is not needed, since it is pinned.
        random.chance(0.5) ? leafOf(chain) : authorityOf(chain, random),
        { damage: (der: Uint8Array) => flipBit(der, (der.length - 1) * 8) },
      ),
  },
  {
    name: 'root with a damaged signature',
    apply: (chain) =>
      Object.assign(rootOf(chain), { damage: (der: Uint8Array) => flipBit(der, (der.length - 1) * 8) }),
  },
  {
    name: 'no authority key identifier in an authority',
    apply: (chain, random) => without(authorityOf(chain, random), ID.authorityKeyId),
  },
];
