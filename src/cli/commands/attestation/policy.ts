import { createHash, X509Certificate } from 'node:crypto';
import { parsePolicy } from '../../../attestation/policy/policy.ts';
import { canonicalDigest } from '../../../crypto/digest.ts';
import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { readInput, writeNew } from '../../files.ts';
import { withManager } from '../../manager-client.ts';

interface Options {
  readonly emulatedRoot?: string;
  readonly out: string;
}

export async function run(context: CommandContext, { emulatedRoot, out }: Options): Promise<void> {
  const pem =
    emulatedRoot === undefined
      ? await withManager(context, async (client) => (await client.host()).emulatedRootPem)
      : (await readInput(emulatedRoot)).toString('utf8');
  const root = rootDigest(pem, emulatedRoot ?? "the manager's answer");
  const policy = { version: 1, platforms: ['emulated'], emulatedRoot: root };
  parsePolicy(policy);
  await writeNew(out, `${JSON.stringify(policy, null, 2)}\n`);
  const digest = canonicalDigest(policy);
  const text = [`this policy accepts EMULATED platforms with the root ${root}`, `wrote ${out}`];
  context.output.result(text, { file: out, digest, policy });
  if (emulatedRoot === undefined) {
    context.output.note(
      'The root is what this manager says. Compare it with what the owner of the host tells you.',
    );
  }
}

function rootDigest(pem: string, source: string): string {
  try {
    return `sha256:${createHash('sha256').update(new X509Certificate(pem).raw).digest('hex')}`;
  } catch (cause) {
    throw new CocosError('FILE_UNREADABLE', `Cannot parse the root certificate in ${source}: expected PEM.`, {
      cause,
    });
  }
}
