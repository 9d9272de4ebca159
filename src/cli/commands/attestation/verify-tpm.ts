import { verifyParavisorTpm } from '../../../attestation/appraisal/paravisor.ts';
import { type TpmInput, verifyTpm } from '../../../attestation/appraisal/standalone.ts';
import type { Verdict } from '../../../attestation/appraisal/verdict.ts';
import { NO_COLLATERAL } from '../../../attestation/collateral/collateral.ts';
import { parsePcrValues } from '../../../attestation/tpm/pcr-list.ts';
import { parseCertificate } from '../../../attestation/x509/certificate.ts';
import { looksLikePem, pemBlocks } from '../../../attestation/x509/pem.ts';
import { attestationCrypto as crypto } from '../../../crypto/attestation-crypto.ts';
import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { parseHex, parseTime } from '../../trust/attestation-options.ts';
import {
  inFile,
  readCertificate,
  readCertificates,
  readEvidence,
  readRevocationLists,
} from '../../trust/evidence-files.ts';
import { type PolicyOptions, policyOf, requiringLists, showVerdict } from './show-verdict.ts';

interface Options extends PolicyOptions {
  readonly attest: string;
  readonly signature: string;
  readonly key?: string;
  readonly hcl?: string;
  readonly vcek?: string;
  readonly chain?: readonly string[];
  readonly crl?: readonly string[];
  readonly at?: string;
  readonly nonce: string;
  readonly pcrs?: string;
  readonly eventlog?: string;
}

export async function run(context: CommandContext, options: Options): Promise<void> {
  const qualifyingData = parseHex(options.nonce, '--nonce');
  const { pcrs, eventlog, key, hcl } = options;
  if ((key === undefined) === (hcl === undefined)) {
    throw new CocosError(
      'USAGE',
      'Name either the attestation key that you trust with --key, or the report of the paravisor that names it with --hcl.',
    );
  }
  const values = pcrs === undefined ? null : await readEvidence(pcrs);
  const quote = {
    attest: await readEvidence(options.attest),
    signature: await readEvidence(options.signature),
    qualifyingData,
    pcrs: values === null ? null : inFile(pcrs ?? '', () => parsePcrValues(values)),
    eventLog: eventlog === undefined ? undefined : await readEvidence(eventlog),
    policy: await policyOf(options, 'snp', context.environment),
    at: parseTime(options.at),
    crypto,
  };
  const verdict =
    hcl === undefined ? await byKey(quote, key ?? '', options) : await byReport(quote, hcl, options);
  showVerdict(context, verdict, ['vtpm.parse', 'vtpm.key', 'report.parse']);
}

type Quote = Omit<TpmInput, 'key'>;

async function byKey(quote: Quote, file: string, { chain }: Options): Promise<Verdict> {
  const bytes = await readEvidence(file);
  const { key, certificate } = inFile(file, () => readKey(bytes));
  const own = certificate === null ? [] : [certificate];
  return verifyTpm({ ...quote, key, keyCertificates: [...own, ...(await readCertificates(chain ?? []))] });
}

async function byReport(quote: Quote, file: string, { vcek, chain, crl }: Options): Promise<Verdict> {
  const certificates = await readCertificates(chain ?? []);
  return verifyParavisorTpm({
    ...quote,
    policy: requiringLists(quote.policy, crl !== undefined),
    keyCertificates: certificates,
    hclReport: await readEvidence(file),
    endorsementKey: vcek === undefined ? undefined : await readCertificate(vcek),
    certificates,
    collateral: { ...NO_COLLATERAL, revocationLists: await readRevocationLists(crl ?? []) },
  });
}

interface KeyFile {
  readonly key: Uint8Array;
  /** DER; null for a file that holds the key alone. */
  readonly certificate: Uint8Array | null;
}

/** The key in a file: public key or certificate in PEM or DER, or a TPM's public area. */
function readKey(bytes: Uint8Array): KeyFile {
  const block = looksLikePem(bytes) ? pemBlocks(Buffer.from(bytes).toString('latin1'))[0] : undefined;
  const der = block?.der ?? bytes;
  if (block?.label === 'PUBLIC KEY') return { key: der, certificate: null };
  try {
    return { key: parseCertificate(der).spki, certificate: der };
  } catch (thrown) {
    if (block !== undefined) throw thrown;
    return { key: der, certificate: null };
  }
}
