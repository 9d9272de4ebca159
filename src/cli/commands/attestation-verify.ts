import type { Command } from 'commander';
import type { CheckName } from '../../attestation/appraisal/checks.ts';
import { formatVerdict, verdictToJson } from '../../attestation/appraisal/format-verdict.ts';
import { verifyDice, verifySnp, verifyTdx, verifyTpm } from '../../attestation/appraisal/standalone.ts';
import type { Verdict } from '../../attestation/appraisal/verdict.ts';
import { NO_COLLATERAL } from '../../attestation/collateral/collateral.ts';
import { splitDiceChain } from '../../attestation/dice/chain-file.ts';
import { type AppraisalPolicy, parsePolicy } from '../../attestation/policy/policy.ts';
import type { SnpProduct } from '../../attestation/snp/products.ts';
import { parsePcrValues } from '../../attestation/tpm/pcr-list.ts';
import { parseCertificate } from '../../attestation/x509/certificate.ts';
import { looksLikePem, pemBlocks } from '../../attestation/x509/pem.ts';
import { attestationCrypto as crypto } from '../../crypto/attestation-crypto.ts';
import { CocosError, EXIT } from '../../errors.ts';
import { collateralOf } from '../collateral/collateral.ts';
import type { CommandContext } from '../command-context.ts';
import { parseHex, parseTime } from '../trust/attestation-options.ts';
import { inFile, readCertificates, readEvidence, readRevocationLists } from '../trust/evidence-files.ts';
import { readPolicy } from '../trust/trust.ts';

/** `attestation verify-…`: one statement alone. Exit 0 accepted, 2 rejected, 64 usage, 74 unreadable input. */

interface Common {
  readonly policy?: string;
  readonly at?: string;
}

/**
 * Shows a verdict and sets the exit code.
 *
 * @param form checks whose failure means that a file does not hold what it was named for: it is unreadable, and no
 * evidence was judged.
 */
export function showVerdict(context: CommandContext, verdict: Verdict, form: readonly CheckName[]): void {
  context.output.result(formatVerdict(verdict), verdictToJson(verdict));
  if (verdict.outcome === 'accepted') return;
  const unreadable = verdict.failures.some((name) => form.includes(name));
  context.exit(unreadable ? EXIT.io : EXIT.rejected);
}

async function policyOf(file: string | undefined, platform: 'snp' | 'tdx'): Promise<AppraisalPolicy> {
  return file === undefined ? parsePolicy({ version: 1, platforms: [platform] }) : readPolicy(file);
}

/** A list that was named must be the one that is needed: one of another root would be passed over in silence. */
const asking = (policy: AppraisalPolicy, lists: boolean): AppraisalPolicy =>
  lists ? { ...policy, snp: { ...policy.snp, requireRevocationList: true } } : policy;

const PRODUCT_NAMES: readonly SnpProduct[] = ['milan', 'genoa', 'turin', 'emulated'];

function parseProduct(name: string | undefined): SnpProduct | undefined {
  if (name === undefined) return undefined;
  const product = PRODUCT_NAMES.find((each) => each === name.toLowerCase());
  if (product === undefined)
    throw new CocosError('USAGE', `A product is one of ${PRODUCT_NAMES.join(', ')}.`);
  return product;
}

function addSnp(parent: Command, context: CommandContext): void {
  interface Options extends Common {
    readonly report: string;
    readonly vcek: string;
    readonly chain: readonly string[];
    readonly crl?: readonly string[];
    readonly product?: string;
  }
  parent
    .command('verify-snp')
    .description('judge an SNP report: exit 0 accepted, 2 rejected')
    .requiredOption('--report <file>', 'the report, 1184 bytes, alone or with its certificate table')
    .requiredOption('--vcek <file>', 'certificate of the key that signed it: VCEK or VLEK, PEM or DER')
    .requiredOption('--chain <file...>', 'certificates of the authorities: ASK or ASVK, and ARK, PEM or DER')
    .option('--crl <file...>', 'revocation lists, PEM or DER; when given, one of the root must be current')
    .option('--product <name>', 'product line that is expected: milan, genoa or turin')
    .option('--policy <file>', 'appraisal policy, JSON; a strict one when left out')
    .option('--at <time>', 'judge as of this time, ISO 8601; now when left out')
    .action(async (options: Options) => {
      const product = parseProduct(options.product);
      const verdict = verifySnp({
        report: await readEvidence(options.report),
        certificates: await readCertificates([options.vcek, ...options.chain]),
        policy: asking(await policyOf(options.policy, 'snp'), options.crl !== undefined),
        collateral: { ...NO_COLLATERAL, revocationLists: await readRevocationLists(options.crl ?? []) },
        at: parseTime(options.at),
        product,
        crypto,
      });
      showVerdict(context, verdict, ['report.parse', 'report.size', 'certificates.parse']);
    });
}

function addTdx(parent: Command, context: CommandContext): void {
  interface Options extends Common {
    readonly quote: string;
    readonly collateral?: string;
    readonly eventlog?: string;
  }
  parent
    .command('verify-tdx')
    .description('judge a TDX quote: exit 0 accepted, 2 rejected')
    .requiredOption('--quote <file>', 'the quote, version 4 or 5')
    .option(
      '--collateral <dir>',
      "TCB info, QE identity, their chain and revocation lists, in the vendor's forms",
    )
    .option('--eventlog <file>', 'event log (CCEL) to replay to the RTMRs')
    .option('--policy <file>', 'appraisal policy, JSON; a strict one when left out')
    .option('--at <time>', 'judge as of this time, ISO 8601; now when left out')
    .action(async (options: Options) => {
      const verdict = verifyTdx({
        quote: await readEvidence(options.quote),
        eventLog: options.eventlog === undefined ? undefined : await readEvidence(options.eventlog),
        policy: await policyOf(options.policy, 'tdx'),
        collateral: await collateralOf(options.collateral, context.environment),
        at: parseTime(options.at),
        crypto,
      });
      showVerdict(context, verdict, ['report.parse', 'report.size', 'tdx.lengths']);
    });
}

/** The key of a file: public key or certificate in PEM or DER, or a TPM's public area. */
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

function addTpm(parent: Command, context: CommandContext): void {
  interface Options extends Common {
    readonly attest: string;
    readonly signature: string;
    readonly key: string;
    readonly nonce: string;
    readonly pcrs?: string;
    readonly eventlog?: string;
  }
  parent
    .command('verify-tpm')
    .description('judge a TPM quote: exit 0 accepted, 2 rejected')
    .requiredOption('--attest <file>', 'the statement, TPMS_ATTEST')
    .requiredOption('--signature <file>', 'its signature, TPMT_SIGNATURE or plain')
    .requiredOption(
      '--key <file>',
      'the attestation key that you trust: PEM, DER, certificate or TPM public area',
    )
    .requiredOption('--nonce <hex>', 'the qualifying data that you asked to have signed')
    .option('--pcrs <file>', 'PCR values: JSON, what tpm2_pcrread prints, or what tpm2_quote -o writes')
    .option('--eventlog <file>', 'event log to replay to the quoted PCRs')
    .option('--policy <file>', 'appraisal policy, JSON; a strict one when left out')
    .action(async (options: Options) => {
      const qualifyingData = parseHex(options.nonce, 'A nonce');
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
        policy: await policyOf(options.policy, 'snp'),
        at: parseTime(undefined),
        crypto,
      });
      showVerdict(context, verdict, ['vtpm.parse', 'vtpm.key']);
    });
}

function addDice(parent: Command, context: CommandContext): void {
  parent
    .command('verify-dice')
    .description('judge a DICE chain: exit 0 accepted, 2 rejected')
    .requiredOption('--chain <file>', 'certificates, first layer first: CBOR, or X.509 in PEM or DER')
    .option('--policy <file>', 'appraisal policy, JSON, with the root keys that you trust')
    .option('--at <time>', 'judge as of this time, ISO 8601; now when left out')
    .action(async (options: Common & { readonly chain: string }) => {
      const bytes = await readEvidence(options.chain);
      const { format, chain, rootKey } = inFile(options.chain, () => splitDiceChain(bytes));
      const policy = await policyOf(options.policy, 'snp');
      const verdict = verifyDice({ format, chain, rootKey, policy, at: parseTime(options.at), crypto });
      showVerdict(context, verdict, ['dice.parse']);
    });
}

export function addVerifyCommands(parent: Command, context: CommandContext): void {
  addSnp(parent, context);
  addTdx(parent, context);
  addTpm(parent, context);
  addDice(parent, context);
}
