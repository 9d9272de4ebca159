import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { decodePublicKeyFile, describePrivateKeyFile } from '../../../crypto/key-file.ts';
import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { readInput, unreadable } from '../../files.ts';
import { requireOwnerOnly } from '../../key-files.ts';
import { table } from '../../output.ts';

export async function run({ output }: CommandContext, _options: unknown, folder: string): Promise<void> {
  const listed = await listKeys(folder);
  const rows = listed.map(({ file, name, state, signing }) => [file, name, state, signing]);
  output.result(table([['file', 'name', 'state', 'signing key'], ...rows]), listed);
}

/** What the key files in a folder reveal without a passphrase. Other files are left out. */
async function listKeys(folder: string) {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw unreadable(folder, cause);
  });
  const listed: { file: string; name: string; state: string; signing: string }[] = [];
  for (const file of names.filter((each) => /\.(key|pub)$/.test(each)).sort()) {
    const text = (await readInput(path.join(folder, file))).toString('utf8');
    try {
      if (file.endsWith('.pub')) {
        const { name, signing } = decodePublicKeyFile(text);
        listed.push({ file, name, state: 'public', signing });
        continue;
      }
      const { name, signing, isSealed } = describePrivateKeyFile(text);
      const exposed = await requireOwnerOnly(path.join(folder, file)).then(
        () => '',
        () => ', accessible to other users',
      );
      listed.push({ file, name, state: `private, ${isSealed ? 'sealed' : 'not sealed'}${exposed}`, signing });
    } catch (thrown) {
      listed.push({ file, name: '-', state: CocosError.from(thrown).code, signing: '-' });
    }
  }
  return listed;
}
