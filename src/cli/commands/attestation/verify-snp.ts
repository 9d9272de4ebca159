import { verifySnp } from '../../../attestation/appraisal/standalone.ts';
import { NO_COLLATERAL } from '../../../attestation/collateral/collateral.ts';
import { SNP_REPORT_BYTES } from '../../../attestation/snp/abi.ts';
import type { SnpProduct } from '../../../attestation/snp/products.ts';
import { attestationCrypto as crypto } from '../../../crypto/attestation-crypto.ts';
import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { parseTime } from '../../trust/attestation-options.ts';
import {
  readCertificate,
  readCertificates,
  readEvidence,
  readRevocationLists,
} from '../../trust/evidence-files.ts';
import { type PolicyOptions, policyOf, requiringLists, showVerdict } from './show-verdict.ts';

interface Options extends PolicyOptions {
  readonly report: string;
  readonly vcek?: string;
  readonly chain?: readonly string[];
  readonly crl?: readonly string[];
  readonly product?: string;
  readonly at?: string;
}

export async function run(context: CommandContext, options: Options): Promise<void> {
  const product = parseProduct(options.product);
  const report = await readEvidence(options.report);
  refuseOtherKinds(options.report, report);
  if (report.length === SNP_REPORT_BYTES && (options.vcek ?? options.chain) === undefined) {
    throw new CocosError(
      'USAGE',
      `${options.report} has no certificate table, so the certificates are needed: add --vcek and --chain.`,
    );
  }
  const verdict = verifySnp({
    report,
    endorsementKey: options.vcek === undefined ? undefined : await readCertificate(options.vcek),
    certificates: await readCertificates(options.chain ?? []),
    policy: requiringLists(await policyOf(options, 'snp', context.environment), options.crl !== undefined),
    collateral: { ...NO_COLLATERAL, revocationLists: await readRevocationLists(options.crl ?? []) },
    at: parseTime(options.at),
    product,
    crypto,
  });
  showVerdict(context, verdict, ['report.parse', 'report.size', 'certificates.parse']);
}

/** Signature of an Azure HCL report, which contains an SNP report. */
const HCL_SIGNATURE = 'HCLA';

/** Files that people confuse with a report: no evidence was appraised then. @throws CocosError FILE_UNREADABLE */
function refuseOtherKinds(file: string, bytes: Uint8Array): void {
  const head = Buffer.from(bytes.subarray(0, 64)).toString('latin1');
  const kind = head.startsWith(HCL_SIGNATURE)
    ? 'an Azure HCL report, whose SNP report are the 1184 bytes from offset 32'
    : /^[\t\n\r -~]+$/.test(head)
      ? 'text (for example hex, base64, JSON or PEM)'
      : null;
  if (kind === null) return;
  throw new CocosError('FILE_UNREADABLE', `${file} is ${kind}: expected the binary report of 1184 bytes.`);
}

const PRODUCT_NAMES: readonly SnpProduct[] = ['milan', 'genoa', 'turin', 'emulated'];
/** Processors that AMD endorses under the root of another line. */
const PRODUCT_ALIASES: Readonly<Record<string, SnpProduct>> = { bergamo: 'genoa', siena: 'genoa' };

function parseProduct(name: string | undefined): SnpProduct | undefined {
  if (name === undefined) return undefined;
  const lower = name.toLowerCase();
  const line = Object.hasOwn(PRODUCT_ALIASES, lower) ? PRODUCT_ALIASES[lower] : lower;
  const product = PRODUCT_NAMES.find((each) => each === line);
  if (product !== undefined) return product;
  throw new CocosError(
    'USAGE',
    `Invalid value '${name}' for --product: expected ${[...PRODUCT_NAMES, ...Object.keys(PRODUCT_ALIASES)].join(', ')}.`,
  );
}
