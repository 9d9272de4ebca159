import {
  argument,
  atOption,
  type CommandGroup,
  type CommandRow,
  collateralOption,
  option,
  passphraseOption,
  policyKeyOption,
  requiredOption,
  singlePolicyOptions,
} from '../command-row.ts';

const COLLATERAL_FOLDER = () =>
  option('--collateral <dir>', 'folder to store it in (default: below your cache folder)');

const COLLATERAL: CommandGroup = {
  name: 'collateral',
  description: 'store vendor certificates, revocation lists and TCB information for offline appraisal',
  commands: [
    {
      name: 'import',
      description: 'store vendor answers that were saved as files',
      parameters: [argument('<file...>'), COLLATERAL_FOLDER()],
      load: () => import('./attestation/collateral-import.ts'),
    },
    {
      name: 'fetch',
      description: 'fetch collateral from a service that you name, and store it',
      parameters: [
        argument('<path...>', 'paths below the base URL, with their queries'),
        requiredOption('--base-url <url>', 'base URL of a vendor service or of your own cache'),
        COLLATERAL_FOLDER(),
        option('--timeout <seconds>', 'time limit per answer').default('20'),
      ],
      load: () => import('./attestation/collateral-fetch.ts'),
    },
  ],
};

/** Certificates and revocation lists of an SNP report. */
const chainOptions = () => [
  option(
    '--vcek <file>',
    'certificate that must have signed: VCEK or VLEK, PEM or DER (default: from the certificate table)',
  ),
  option(
    '--chain <file...>',
    'certificates of the authorities: ASK or ASVK, and ARK, PEM or DER (default: from the certificate table); in verify-tpm also those of the key',
  ),
  option('--crl <file...>', 'revocation lists, PEM or DER; requires a current one of the root'),
];

/** Appraisal of a single statement. Exit codes: 0 accepted, 2 rejected, 64 usage, 74 unreadable input. */
const SINGLE_STATEMENTS: readonly CommandRow[] = [
  {
    name: 'verify-snp',
    description: 'appraise an SEV-SNP report: exit code 0 accepted, 2 rejected',
    parameters: [
      requiredOption('--report <file>', 'the 1184-byte report, alone or with its certificate table'),
      ...chainOptions(),
      option('--product <name>', 'expected product line: milan, genoa (also bergamo, siena) or turin'),
      ...singlePolicyOptions(),
      atOption(),
    ],
    load: () => import('./attestation/verify-snp.ts'),
  },
  {
    name: 'verify-tdx',
    description: 'appraise a TDX quote: exit code 0 accepted, 2 rejected',
    parameters: [
      requiredOption('--quote <file>', 'the quote, version 4 or 5'),
      option('--collateral <dir>', 'folder of TCB info, QE identity, their chain and revocation lists'),
      option('--eventlog <file>', 'event log (CCEL) to replay to the RTMRs'),
      ...singlePolicyOptions(),
      atOption(),
    ],
    load: () => import('./attestation/verify-tdx.ts'),
  },
  {
    name: 'verify-tpm',
    description: 'appraise a TPM quote: exit code 0 accepted, 2 rejected',
    parameters: [
      requiredOption('--attest <file>', 'the statement, TPMS_ATTEST'),
      requiredOption('--signature <file>', 'its signature, TPMT_SIGNATURE or raw'),
      option('--key <file>', 'the attestation key that you trust: PEM, DER, certificate or TPM public area'),
      option('--hcl <file>', 'instead of a key: the report of the paravisor (Azure HCL) that names it'),
      ...chainOptions(),
      requiredOption('--nonce <hex>', 'the qualifying data that you sent'),
      option('--pcrs <file>', 'PCR values: JSON, or the output of tpm2_pcrread or tpm2_quote -o'),
      option('--eventlog <file>', 'event log to replay to the quoted PCRs'),
      ...singlePolicyOptions(),
      atOption(),
    ],
    load: () => import('./attestation/verify-tpm.ts'),
  },
  {
    name: 'verify-dice',
    description: 'appraise a DICE chain: exit code 0 accepted, 2 rejected',
    parameters: [
      requiredOption('--chain <file>', 'certificates, first layer first: CBOR, or X.509 in PEM or DER'),
      option('--policy <file>', 'appraisal policy, plain or signed, with the root keys that you trust'),
      policyKeyOption(),
      atOption(),
    ],
    load: () => import('./attestation/verify-dice.ts'),
  },
];

export const ATTESTATION: CommandGroup = {
  name: 'attestation',
  description: 'request, appraise and inspect evidence of enclaves',
  commands: [
    {
      name: 'get',
      description: 'challenge an enclave and save its evidence',
      parameters: [
        argument('<enclave>'),
        requiredOption('--nonce <hex>', '32 random bytes of your choice, as 64 hex digits'),
        requiredOption('--out <file>', 'output file'),
      ],
      load: () => import('./attestation/get.ts'),
    },
    {
      name: 'verify',
      description: 'appraise evidence offline: exit code 0 accepted, 2 rejected',
      parameters: [
        argument('<file>'),
        requiredOption('--policy <file>', 'appraisal policy, JSON, plain or signed'),
        requiredOption('--reference <file>', 'reference values of the image, JSON or CoRIM'),
        collateralOption(),
        option('--nonce <hex>', 'nonce of your challenge; without it the age of the evidence is unknown'),
        option('--nonce-issued <time>', 'when you created the nonce, for a policy that limits its age'),
        atOption(),
        option('--manifest <file>', 'manifest that the enclave must hold'),
        policyKeyOption(),
        option('--ear <file>', 'output file for a signed attestation result (EAR) for other systems'),
        option('--ear-key <file>', 'private key that signs the attestation result'),
        passphraseOption(),
      ],
      load: () => import('./attestation/verify.ts'),
    },
    {
      name: 'watch',
      description: 'appraise an enclave repeatedly until it is rejected: exit code 2',
      parameters: [
        argument('<enclave>'),
        requiredOption('--policy <file>', 'your appraisal policy'),
        requiredOption('--reference <file>', 'reference values of the image that you trust'),
        option('--manifest <file>', 'manifest that the enclave must hold'),
        option('--every <seconds>', 'how long a verdict is valid (default: 600)'),
        policyKeyOption(),
        collateralOption(),
      ],
      load: () => import('./attestation/watch.ts'),
    },
    ...SINGLE_STATEMENTS,
    {
      name: 'inspect',
      description:
        'show the content of a bundle, report, quote, event log or DICE chain without verifying it',
      parameters: [argument('<file>')],
      load: () => import('./attestation/inspect.ts'),
    },
    {
      name: 'replay',
      description: 'replay an event log to PCR or RTMR values',
      parameters: [argument('<file>'), option('--bank <name>', 'sha1, sha256, sha384 or sha512')],
      load: () => import('./attestation/replay.ts'),
    },
    {
      name: 'policy',
      description: 'write a policy that accepts only the emulated platform of one host',
      parameters: [
        option(
          '--emulated-root <file>',
          'certificate of the development root, PEM (default: ask the manager for it)',
        ),
        requiredOption('--out <file>', 'output file'),
      ],
      load: () => import('./attestation/policy.ts'),
    },
    {
      name: 'sign-policy',
      description: 'sign an appraisal policy, with a version and an expiry',
      parameters: [
        argument('<policy>'),
        requiredOption('--key <file>', 'your private key'),
        requiredOption('--policy-version <n>', 'version, above that of the last policy that you signed'),
        requiredOption('--expires <time>', 'when the policy stops being accepted, ISO 8601'),
        option('--name <text>', 'which of your policies this is').default('policy'),
        requiredOption('--out <file>', 'output file'),
        passphraseOption(),
      ],
      load: () => import('./attestation/sign-policy.ts'),
    },
    {
      name: 'verify-ear',
      description: 'verify and show an attestation result (EAR): exit code 0 trustworthy, 2 rejected',
      parameters: [
        argument('<file>'),
        requiredOption('--key <key>', 'public key that must have signed it, ed25519:…'),
        option('--nonce <hex>', 'nonce that the evidence must have answered, 64 hex digits'),
        option('--max-age <seconds>', 'maximum age of the result'),
        atOption(),
      ],
      load: () => import('./attestation/verify-ear.ts'),
    },
    {
      name: 'corim',
      description: 'convert reference values to CoRIM; several files become one with all their builds',
      parameters: [argument('<reference...>'), requiredOption('--out <file>', 'output file')],
      load: () => import('./attestation/corim.ts'),
    },
    COLLATERAL,
  ],
};
