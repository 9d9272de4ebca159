import {
  AT,
  CRITICAL,
  commonName,
  DAY,
  element,
  emptyList,
  extension,
  ID,
  integer,
  type ListFields,
  none,
  sequence,
  time,
  usage,
} from './chain.ts';
import { type Change, edit, issuerOf, leafOf, rootOf } from './change.ts';
import { otherKey, SCHEMES } from './keys.ts';

/** The list of the authority of the leaf, and that of the root. */
function listsOf(lists: readonly ListFields[]): readonly [ListFields, ListFields] {
  const [first, second] = lists;
  if (first === undefined || second === undefined) throw new Error('a chain lacks its lists');
  return [first, second];
}

const change = (name: string, apply: (own: ListFields, root: ListFields) => void): Change => ({
  name,
  family: 'pck',
  apply: (chain, random) => {
    const [own, root] = listsOf(chain.lists);
    if (random.chance(0.5)) apply(own, root);
    else apply(root, own);
  },
});

const entry = (serial: Uint8Array) => ({ serial, extensions: [] });

/** Revocation lists (RFC 5280 5 and 6.3). */
export const LIST_CHANGES: readonly Change[] = [
  {
    name: 'leaf revoked',
    family: 'pck',
    apply: (chain) => listsOf(chain.lists)[0].entries.push(entry(leafOf(chain).serial)),
  },
  {
    name: 'authority revoked',
    family: 'pck',
    apply: (chain) => listsOf(chain.lists)[1].entries.push(entry(issuerOf(chain).serial)),
  },
  {
    name: 'leaf revoked with a reason',
    family: 'pck',
    apply: (chain) =>
      listsOf(chain.lists)[0].entries.push({
        serial: leafOf(chain).serial,
        extensions: [extension('2.5.29.21', element(0x0a, Uint8Array.of(1)))],
      }),
  },
  {
    name: 'serial of the leaf in the list of the root',
    family: 'pck',
    apply: (chain) => listsOf(chain.lists)[1].entries.push(entry(leafOf(chain).serial)),
  },
  {
    name: 'list missing',
    alone: true,
    family: 'pck',
    apply: (chain, random) => chain.lists.splice(random.below(2), 1),
  },
  change('list expired', (list) => Object.assign(list, { nextUpdate: time(AT - 1000) })),
  change('list of the future', (list) => Object.assign(list, { thisUpdate: time(AT + 1000) })),
  change('list to this second', (list) => Object.assign(list, { nextUpdate: time(AT) })),
  change('list from this second', (list) => Object.assign(list, { thisUpdate: time(AT) })),
  change('list without an end', (list) => Object.assign(list, { nextUpdate: none() })),
  change('list of version 1', (list) => Object.assign(list, { version: none(), extensions: [] })),
  change('list of another key', (list) =>
    Object.assign(list, { signer: { key: otherKey('p256'), scheme: SCHEMES['ecdsa-sha256'] } }),
  ),
  change('list of another name', (list) => Object.assign(list, { issuer: commonName('Other CA') })),
  change('list with an unknown critical extension', (list) => {
    list.extensions.push(extension('1.3.6.1.4.1.99999.3', integer(1), true));
  }),
  change('list with an unknown extension', (list) => {
    list.extensions.push(extension('1.3.6.1.4.1.99999.3', integer(1)));
  }),
  change('list of part of the certificates', (list) => {
    // issuingDistributionPoint: onlyContainsAttributeCerts.
    list.extensions.push(extension('2.5.29.28', sequence(element(0x85, Uint8Array.of(0xff))), true));
  }),
  change('list of part of the certificates, not critical', (list) => {
    list.extensions.push(extension('2.5.29.28', sequence(element(0x85, Uint8Array.of(0xff)))));
  }),
  change('list of changes', (list) => {
    list.extensions.push(extension('2.5.29.27', integer(4), true));
  }),
  change('list of changes, not critical', (list) => {
    list.extensions.push(extension('2.5.29.27', integer(4)));
  }),
  change('entry with an unknown critical extension', (list) => {
    list.entries.push({
      serial: integer(99),
      extensions: [{ oid: '1.3.6.1.4.1.99999.3', critical: CRITICAL, value: integer(1) }],
    });
  }),
  change('list without entries', (list) => Object.assign(list, { entries: [] })),
  {
    name: 'lists of an authority without cRLSign',
    family: 'pck',
    apply: (chain, random) =>
      edit(random.chance(0.5) ? issuerOf(chain) : rootOf(chain), ID.keyUsage, { value: usage(5) }),
  },
  {
    name: 'older list beside the current one',
    family: 'pck',
    apply: (chain) => {
      const old = {
        ...emptyList(issuerOf(chain)),
        thisUpdate: time(AT - 30 * DAY),
        nextUpdate: time(AT - DAY),
      };
      chain.lists.push(old);
    },
  },
  {
    name: 'leaf revoked in an older list only',
    family: 'pck',
    apply: (chain) => {
      const old = {
        ...emptyList(issuerOf(chain)),
        thisUpdate: time(AT - 30 * DAY),
        nextUpdate: time(AT - 2 * DAY),
      };
      chain.lists.unshift({ ...old, entries: [entry(leafOf(chain).serial)] });
    },
  },
];
