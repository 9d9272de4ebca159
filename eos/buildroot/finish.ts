import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensurePinnedPackages } from '../../setup/pinned-packages.mjs';
import { buildFencedKernel } from '../acpi-fence/compile.ts';
import { ADDON } from '../agent-bundle.ts';
import { assembleImage, PROGRAMS } from '../image.ts';
import { packInitramfs } from '../initramfs.ts';
import { secureBootKeys } from '../uefi/keys.ts';
import { unpackPackages } from '../unpack.ts';
import { buildVerityTree } from '../verity.ts';

/**
 * Puts an EOS image together from what Buildroot built: `--images DIR` with bzImage, rootfs.erofs, busybox and perhaps
 * sbom.cdx.json, `--target DIR` with the target's files, `--out DIR`, and `--secure-boot DIR` as for the other builder.
 */

/** What dmsetup of the target needs. */
const LIBRARIES =
  /^usr\/lib\/(ld-linux-x86-64\.so\.2|lib(c|m)\.so\.6|lib(devmapper|udev|pthread|blkid|uuid|atomic|gcc_s)\.so\.[\d.]+)$/;
const NO_SBOM = '{"bomFormat":"CycloneDX","specVersion":"1.5","version":1,"components":[]}\n';

interface Folders {
  readonly images: string;
  readonly target: string;
  readonly out: string;
  readonly secureBoot: string | undefined;
}

function readFolders(): Folders {
  const option = { type: 'string' } as const;
  const { values } = parseArgs({
    options: { images: option, target: option, out: option, 'secure-boot': option },
  });
  const { images, target, out } = values;
  if (images === undefined || target === undefined || out === undefined) {
    throw new Error('usage: finish.ts --images DIR --target DIR --out DIR [--secure-boot DIR]');
  }
  return { images, target, out, secureBoot: values['secure-boot'] };
}

function finish({ images, target, out, secureBoot }: Folders): string {
  const image = (name: string): Buffer => readFileSync(join(images, name));
  const agent = (name: string): Buffer => readFileSync(join(target, 'usr/lib/cocos', name));
  const erofs = image('rootfs.erofs');
  // Buildroot leaves the last block short.
  const whole = Buffer.concat([erofs, Buffer.alloc(-erofs.length & 0xfff)]);
  const verity = buildVerityTree(whole);
  mkdirSync(out, { recursive: true });
  const work = mkdtempSync(join(out, '.work-'));
  try {
    const packages = unpackPackages(ensurePinnedPackages().packages, join(work, 'packages'));
    const { kernel, aml } = buildFencedKernel(packages, image('bzImage'), join(work, 'acpi-fence'));
    const { files, rootHash } = assembleImage({
      packages,
      kernel,
      initrd: packInitramfs({
        busybox: image('busybox'),
        modules: [],
        aml,
        addTools: (tree) => {
          const isTool = (path: string): boolean => path === 'usr/sbin/dmsetup' || LIBRARIES.test(path);
          tree.addFrom(target, isTool);
        },
      }),
      root: { ...verity, bytes: Buffer.concat([whole, verity.tree]) },
      agent: { script: agent('agent.js'), addon: agent(ADDON) },
      node: readFileSync(join(target, 'usr/bin/node')),
      keys: secureBoot === undefined ? null : secureBootKeys(secureBoot),
      sbom: existsSync(join(images, 'sbom.cdx.json')) ? image('sbom.cdx.json') : NO_SBOM,
      rebuild: ['npm ci', 'build eos/buildroot as its README.md says'],
    });
    for (const [name, bytes] of Object.entries(files)) {
      writeFileSync(join(out, name), bytes);
      chmodSync(join(out, name), PROGRAMS.has(name) ? 0o755 : 0o644);
    }
    return rootHash;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const folders = readFolders();
console.log(`eos: ${folders.out} put together, root hash ${finish(folders)}`);
