import { verifyTpm } from '../../../attestation/appraisal/standalone.ts';
import { parsePcrValues } from '../../../attestation/tpm/pcr-list.ts';
import { parseCertificate } from '../../../attestation/x509/certificate.ts';
import { looksLikePem, pemBlocks } from '../../../attestation/x509/pem.ts';
import { attestationCrypto as crypto } from '../../../crypto/attestation-crypto.ts';
import type { CommandContext } from '../../command-context.ts';
import { parseHex, parseTime } from '../../trust/attestation-options.ts';
import { inFile, readEvidence } from '../../trust/evidence-files.ts';
import { type PolicyOptions, policyOf, showVerdict } from './show-verdict.ts';

interface Options extends PolicyOptions {
  readonly attest: string;
  readonly signature: string;
  readonly key: string;
  readonly nonce: string;
  readonly pcrs?: string;
  readonly eventlog?: string;
}

export async function run(context: CommandContext, options: Options): Promise<void> {
  const qualifyingData = parseHex(options.nonce, '--nonce');
  const { pcrs, eventlog } = options;
  const keyFile = await readEvidence(options.key);
  const values = pcrs === undefined ? null : await readEvidence(pcrs);
  const verdict = verifyTpm({
    attest: await readEvidence(options.attest),
    signature: await readEvidence(options.signature),
    key: inFile(options.key, () => keyBytes(keyFile)),
    qualifyingData,
    pcrs: values === null ? null : inFile(pcrs ?? '', () => parsePcrValues(values)),
    eventLog: eventlog === undefined ? undefined : await readEvidence(eventlog),
    policy: await policyOf(options, 'snp', context.environment),
    at: parseTime(undefined),
    crypto,
  });
  showVerdict(context, verdict, ['vtpm.parse', 'vtpm.key']);
}

/** The key in a file: public key or certificate in PEM or DER, or a TPM's public area. */
function keyBytes(bytes: Uint8Array): Uint8Array {
  const block = looksLikePem(bytes) ? pemBlocks(Buffer.from(bytes).toString('latin1'))[0] : undefined;
  const der = block?.der ?? bytes;
  if (block?.label === 'PUBLIC KEY') return der;
  try {
    return parseCertificate(der).spki;
  } catch (thrown) {
    if (block !== undefined) throw thrown;
    return der;
  }
}
