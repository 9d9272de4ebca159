import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { GUEST_NODE_FOLDER, GUEST_NODE_PACKAGE } from './guest-node.ts';
import { ROOT } from './options.ts';
import type { PinnedPackage, UnpackedPackages } from './unpack.ts';

/** The software bill of materials of an image: CycloneDX 1.5 (ECMA-424) in JSON. */

const NpmPackage = z.object({
  name: z.string(),
  version: z.string(),
  license: z.string().optional(),
});

/** What is in an image: it is not packages of tools that only build it. */
const IN_IMAGE = new Set(['kernel', 'firmware', 'guest', 'host']);
/** `License:` of a machine-readable copyright file (DEP-5), one short name on the line. */
const DEP5_LICENCE = /^License:[ \t]*(\S.*)$/gim;
/** How old copyright files name the licence texts that Debian keeps in one place. */
const COMMON_LICENCE = /\/usr\/share\/common-licenses\/([A-Za-z0-9.+-]*[A-Za-z0-9])/g;

interface Component {
  readonly type: 'library' | 'application' | 'operating-system' | 'firmware';
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly hashes?: readonly { readonly alg: 'SHA-256'; readonly content: string }[];
  readonly licenses: readonly { readonly license: { readonly name: string } }[];
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
}

export interface SbomInput {
  readonly packages: UnpackedPackages;
  /** Folder names below `node_modules/` whose code is in the agent's bundle. */
  readonly bundled: readonly string[];
  readonly eosVersion: string;
}

/** The bill as JSON text; it holds no time and no random number, so the same image has the same one. */
export function billOfMaterials({ packages, bundled, eosVersion }: SbomInput): string {
  const debian = packages.list
    .filter((entry) => IN_IMAGE.has(entry.use))
    .map((entry) => debianComponent(entry, packages.folder(entry.wish)));
  const npm = [
    ...[...new Set(bundled)].sort().map((name) => npmComponent(ROOT, name)),
    npmComponent(GUEST_NODE_FOLDER, GUEST_NODE_PACKAGE),
  ];
  const bill = {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      component: {
        type: 'operating-system',
        'bom-ref': 'eos',
        name: 'cocosai-eos',
        version: eosVersion,
        licenses: [{ license: { id: 'Apache-2.0' } }],
      },
    },
    components: [fenceComponent(eosVersion), ...debian, ...npm],
  };
  return `${JSON.stringify(bill, null, 2)}\n`;
}

/** Of this project, in the file of the kernel. */
function fenceComponent(version: string): Component {
  const name = 'cocosai-acpi-fence';
  const purl = `pkg:generic/${name}@${version}`;
  const licenses = [{ license: { name: 'Apache-2.0' } }];
  return { type: 'firmware', 'bom-ref': purl, name, version, purl, licenses };
}

/** @throws Error when no licence of the package is known */
export function debianComponent(entry: PinnedPackage, folder: string): Component {
  const purl = `pkg:deb/debian/${entry.name}@${encodeURIComponent(entry.version)}?arch=amd64`;
  const type =
    entry.use === 'kernel' ? 'operating-system' : entry.use === 'firmware' ? 'firmware' : 'library';
  return {
    type,
    'bom-ref': purl,
    name: entry.name,
    version: entry.version,
    purl,
    hashes: [{ alg: 'SHA-256', content: entry.sha256 }],
    licenses: debianLicences(entry, folder).map((name) => ({ license: { name } })),
    ...(entry.substitutes === null
      ? {}
      : { properties: [{ name: 'cocosai:substitutes', value: entry.substitutes }] }),
  };
}

/**
 * Short names of all licences in a package's copyright file.
 *
 * @throws Error when it names none and eos/packages.json names none either
 */
export function debianLicences(
  entry: Pick<PinnedPackage, 'name' | 'wish' | 'licences'>,
  folder: string,
): string[] {
  const file = join(folder, 'usr/share/doc', entry.name, 'copyright');
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const named = [...text.matchAll(DEP5_LICENCE)].map((match) => (match[1] ?? '').trim());
  const common = named.length > 0 ? [] : [...text.matchAll(COMMON_LICENCE)].map((match) => match[1] ?? '');
  const found = [...new Set([...named, ...common, ...(entry.licences ?? [])])].sort();
  if (found.length === 0)
    throw new Error(`no licence of ${entry.name} is known: name it in eos/packages.json`);
  return found;
}

function npmComponent(folder: string, name: string): Component {
  const manifest = join(folder, 'node_modules', name, 'package.json');
  const { version, license } = NpmPackage.parse(JSON.parse(readFileSync(manifest, 'utf8')));
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
  if (license === undefined) throw new Error(`no licence of ${name} is known`);
  return {
    type: name === GUEST_NODE_PACKAGE ? 'application' : 'library',
    'bom-ref': purl,
    name,
    version,
    purl,
    licenses: [{ license: { name: license } }],
  };
}
