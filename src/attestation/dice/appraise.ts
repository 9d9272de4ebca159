import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import type { AttestationCrypto } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import type { CheckList } from '../appraisal/verdict.ts';
import type { PublicKey } from '../x509/public-key.ts';
import { isoTime } from '../x509/time.ts';
import { parseCborLayer } from './cbor-layer.ts';
import { keyIdentifier } from './identifier.ts';
import type { DiceLayer } from './layer.ts';
import type { DiceLayerRule, DicePolicy } from './policy-rules.ts';
import { parseX509Layer } from './x509-layer.ts';

/** Appraisal of a DICE chain: signatures from a root key to the leaf, identifiers, modes, measurements. */

export interface DiceInput {
  readonly format: 'cbor' | 'x509';
  /** First layer first. */
  readonly chain: readonly Uint8Array[];
  /** Root key sent with the chain, which does not make it trusted. */
  readonly rootKey: Uint8Array | undefined;
  /** SHA-256 of the root key that the report names, if any. */
  readonly namedRoot: Uint8Array | undefined;
  readonly policy: DicePolicy;
  /** Layers of the reference values. */
  readonly reference: readonly DiceLayerRule[] | undefined;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly crypto: AttestationCrypto;
}

/** A raw Ed25519 key (32 bytes) or an uncompressed point (65 or 97 bytes). */
export function rawKey(bytes: Uint8Array): PublicKey | null {
  if (bytes.length === 32) return { kind: 'ed25519', key: bytes };
  if (bytes[0] !== 0x04) return null;
  if (bytes.length === 65) return { kind: 'P-256', point: bytes };
  return bytes.length === 97 ? { kind: 'P-384', point: bytes } : null;
}

function signedWith({ signed }: DiceLayer, key: PublicKey, crypto: AttestationCrypto): boolean {
  const { scheme, message, signature } = signed;
  if (scheme.kind === 'ed25519')
    return key.kind === 'ed25519' && crypto.verifyEd25519(key.key, message, signature);
  return key.kind === scheme.kind && crypto.verifyEcdsa(key.kind, scheme.hash, key.point, message, signature);
}

/** RFC 5280 4.2.1.9: the last certificate of a path does not count. */
function lengthProblems({ pathLength }: DiceLayer, between: number): string[] {
  if (pathLength === null || between <= pathLength) return [];
  return [`it allows ${pathLength} layers between it and the last, not ${between}`];
}

function parseChain(input: DiceInput, checks: CheckList): DiceLayer[] | null {
  const parser = input.format === 'cbor' ? parseCborLayer : parseX509Layer;
  const expected = 'certificates of the profile';
  try {
    const layers = input.chain.map((bytes) => parser(bytes, input.crypto));
    const problems = layers.flatMap((layer, index) =>
      [...layer.problems, ...lengthProblems(layer, layers.length - 2 - index)].map(
        (problem) => `layer ${index + 1}: ${problem}`,
      ),
    );
    if (!checks.record('dice.parse', layers.length > 0, expected, `${layers.length} layers`)) return null;
    const found = problems.length === 0 ? 'as expected' : problems.join('; ');
    return checks.record('dice.profile', problems.length === 0, expected, found) ? layers : null;
  } catch (thrown) {
    checks.record('dice.parse', false, expected, CocosError.from(thrown).message);
    return null;
  }
}

function unsignedText({ signed }: DiceLayer, keys: readonly PublicKey[]): string {
  const { kind } = signed.scheme;
  if (keys.some((key) => key.kind === kind)) return 'none of them signed the first layer';
  const kinds = [...new Set(keys.map((key) => key.kind))].join(' and ');
  return `the first layer is signed with ${kind}, the trusted keys are ${kinds}`;
}

/** Records `dice.root`: which trusted key, if any, signed the first layer. */
function checkRoot(first: DiceLayer, input: DiceInput, checks: CheckList): PublicKey | null {
  const { policy, rootKey, namedRoot, crypto } = input;
  const isNamed = (key: Uint8Array): boolean =>
    namedRoot !== undefined && bytesToHex(crypto.sha256(key)) === bytesToHex(namedRoot);
  const named = rootKey !== undefined && namedRoot !== undefined;
  // Evidence cannot add to the keys that a policy names: its own key counts only where there are none.
  const trusted: Uint8Array[] =
    policy.rootKeys.length > 0
      ? policy.rootKeys.map((text) => hexToBytes(text))
      : rootKey !== undefined && isNamed(rootKey)
        ? [rootKey]
        : [];
  if (trusted.length === 0) {
    const note =
      rootKey === undefined
        ? 'no root key is known'
        : 'neither the policy nor the report names this root key';
    if (named) checks.record('dice.root', false, `SHA-256 ${bytesToHex(namedRoot)}`, note);
    else checks.missing('dice.root', note);
    return rootKey === undefined ? null : rawKey(rootKey);
  }
  const keys = trusted.map(rawKey).filter((key) => key !== null);
  const key = keys.find((each) => signedWith(first, each, crypto));
  const expected = `one of ${trusted.length} trusted keys`;
  checks.record(
    'dice.root',
    key !== undefined,
    expected,
    key === undefined ? unsignedText(first, keys) : 'signed',
  );
  return key ?? null;
}

function checkSignatures(
  layers: readonly DiceLayer[],
  root: PublicKey | null,
  input: DiceInput,
  checks: CheckList,
): void {
  const signers = [root, ...layers.map(({ key }) => key)];
  const wrong = layers.flatMap((layer, index) => {
    const signer = signers[index];
    if (signer === null || signer === undefined) return [];
    return signedWith(layer, signer, input.crypto) ? [] : [index + 1];
  });
  const expected = 'each signed by the layer before it';
  if (wrong.length > 0)
    checks.record('dice.signatures', false, expected, `the signature of layer ${wrong.join(', ')} is wrong`);
  else if (root === null) checks.missing('dice.signatures', 'the key that signs the first layer is unknown');
  else checks.record('dice.signatures', true, expected, `${layers.length} signatures`);
}

function checkIdentifiers(
  layers: readonly DiceLayer[],
  root: PublicKey | null,
  input: DiceInput,
  checks: CheckList,
): void {
  const problems: string[] = [];
  layers.forEach((layer, index) => {
    const own = layer.keyId ?? keyIdentifier(layer.key, input.crypto);
    if (own !== layer.subject)
      problems.push(
        `layer ${index + 1} has the subject ${layer.subject}, but the identifier of its key is ${own ?? '?'}`,
      );
    // A root key that the policy names has no identifier but the derived one.
    const rootId = root === null || layer.keyId !== null ? null : keyIdentifier(root, input.crypto);
    const before = index === 0 ? rootId : layers[index - 1]?.subject;
    if (before !== null && before !== layer.issuer) {
      problems.push(
        `layer ${index + 1} has the issuer ${layer.issuer}, but the previous layer is ${before ?? '?'}`,
      );
    }
  });
  const found = problems.length === 0 ? 'as expected' : problems.join('; ');
  checks.record('dice.identifiers', problems.length === 0, 'identifiers of the keys, in their order', found);
}

function checkState(layers: readonly DiceLayer[], input: DiceInput, checks: CheckList): void {
  const { at, policy } = input;
  const outside = layers.find(
    ({ validity }) => validity !== null && (at < validity.notBefore || at > validity.notAfter),
  );
  const span = outside?.validity;
  const shown =
    span === null || span === undefined
      ? 'valid, or without dates'
      : `${isoTime(span.notBefore)} to ${isoTime(span.notAfter)}`;
  checks.record('dice.validity', outside === undefined, `valid at ${isoTime(at)}`, shown);
  const modes = layers.map(({ mode }) => mode);
  const allowed = modes.every((mode) => policy.allowedModes.includes(mode));
  checks.record('dice.mode', allowed, policy.allowedModes.join(' or '), modes.join(', '));
}

type Measured = 'dice.code' | 'dice.configuration' | 'dice.authority';

const MEASURED: readonly {
  readonly name: Measured;
  readonly rule: keyof DiceLayerRule;
  readonly value: (layer: DiceLayer) => Uint8Array | null;
}[] = [
  { name: 'dice.code', rule: 'codeHashes', value: ({ codeHash }) => codeHash },
  { name: 'dice.configuration', rule: 'configurations', value: ({ configuration }) => configuration },
  { name: 'dice.authority', rule: 'authorityHashes', value: ({ authorityHash }) => authorityHash },
];

/** Compares each layer with its rule; a chain of another length fails, whatever the rules are. */
function checkLayers(layers: readonly DiceLayer[], rules: readonly DiceLayerRule[], checks: CheckList): void {
  if (rules.length !== layers.length) {
    checks.record('dice.code', false, `${rules.length} layers`, `${layers.length} layers`);
    return;
  }
  for (const { name, rule, value } of MEASURED) {
    if (rules.every((each) => each[rule] === undefined)) continue;
    const wrong = layers.findIndex((layer, index) => {
      const accepted = rules[index]?.[rule];
      return accepted !== undefined && !accepted.includes(bytesToHex(value(layer) ?? new Uint8Array()));
    });
    const layer = layers[wrong];
    if (layer === undefined) {
      checks.record(name, true, `${rules.length} layers as listed`, 'the same');
    } else {
      const found = bytesToHex(value(layer) ?? new Uint8Array());
      checks.record(name, false, rules[wrong]?.[rule]?.join(' or ') ?? '?', found, `layer ${wrong + 1}`);
    }
  }
}

/**
 * Records the checks of `SCOPES.dice` except `dice.leaf`, which is the caller's.
 *
 * @returns SHA-256 of the last certificate; null when the chain cannot be parsed.
 */
export function appraiseDice(input: DiceInput, checks: CheckList): Uint8Array | null {
  const layers = parseChain(input, checks);
  const [first] = layers ?? [];
  const leaf = layers?.at(-1);
  if (layers === null || first === undefined || leaf === undefined) return null;
  const root = checkRoot(first, input, checks);
  checkSignatures(layers, root, input, checks);
  checkIdentifiers(layers, root, input, checks);
  checkState(layers, input, checks);
  const none = 'neither the policy nor the reference values list the layers';
  for (const { name } of MEASURED) checks.notChecked(name, none);
  for (const rules of [input.policy.layers, input.reference])
    if (rules !== undefined) checkLayers(layers, rules, checks);
  return input.crypto.sha256(leaf.encoded);
}
