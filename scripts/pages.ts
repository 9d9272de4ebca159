import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { policyJsonSchema, referenceJsonSchema } from '../src/attestation/policy/json-schema.ts';
import { NEXT_STEPS } from '../src/cli/next-steps.ts';
import { ERRORS, type ErrorCode } from '../src/errors.ts';
import { AgentEvent, agentMachine } from '../src/machines/agent.machine.ts';
import { AttestationEvent, attestationMachine } from '../src/machines/attestation.machine.ts';
import { ComputationEvent } from '../src/machines/computation.events.ts';
import { computationMachine } from '../src/machines/computation.machine.ts';
import { EnclaveEvent } from '../src/machines/enclave.events.ts';
import { enclaveMachine } from '../src/machines/enclave.machine.ts';
import { LinkEvent, linkMachine } from '../src/machines/link.machine.ts';
import { ManagerEvent, managerMachine } from '../src/machines/manager.machine.ts';
import { ServiceEvent, serviceMachine } from '../src/machines/service.machine.ts';
import { TransferEvent, transferMachine } from '../src/machines/transfer.machine.ts';
import { VerifierEvent, verifierMachine } from '../src/machines/verifier.machine.ts';
import { type MachinePage, machinePage } from './machine-page.ts';
import { policyPage } from './policy-page.ts';

/** Pages generated from the code: `tsx scripts/pages.ts` writes them, `--check` compares. */
const ROOT = fileURLToPath(new URL('..', import.meta.url));

function errorsPage(): string {
  const rows = (Object.entries(ERRORS) as [ErrorCode, (typeof ERRORS)[ErrorCode]][]).map(
    ([code, { grpc, action, exit, doc }]) =>
      `| \`${code}\` | ${exit} | ${grpc} | ${action} | ${doc} | ${NEXT_STEPS[code]} |`,
  );
  return `# Errors

Every failure has a stable code. Programs match codes; messages may change. \`cocos-cli\` prints the code, the message and
what to try next to standard error, and exits with the exit code of the table. With \`-o json\` it also prints
\`{"error": {"code", "message", "details", "next"}}\` to standard output. \`details.reason\`, where present, is the text of a library or of the
system, for a bug report. The action is one of *fix* (correct the input), *retry* (try
again later) and *stop* (trust is broken, or the program has a defect).

Exit codes follow sysexits.h where one fits: 0 success, 1 failure, 2 rejected by appraisal or cryptography, 64 usage error,
65 invalid data, 66 file not found, 69 unavailable, 70 internal error, 73 cannot create, 74 input/output error, 75 temporary
failure, 77 permission denied, 78 configuration error.

| code | exit | gRPC status | action | meaning | what to try next |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
}

const MACHINES: Readonly<Record<string, MachinePage>> = {
  enclave: {
    machine: enclaveMachine,
    about:
      'The lifecycle of an enclave on its host. The manager is the authority and stores every transition.',
    events: EnclaveEvent,
  },
  computation: {
    machine: computationMachine,
    about:
      'A computation inside an enclave. The agent is the authority; the manager mirrors it from the journal.',
    events: ComputationEvent,
  },
  transfer: {
    machine: transferMachine,
    about:
      'The upload of one input, resumable after a broken connection. The agent is the authority; the manager mirrors it.',
    events: TransferEvent,
  },
  attestation: {
    machine: attestationMachine,
    about:
      'A challenge and the one session that may be based on it. The agent is the authority; the manager mirrors it.',
    events: AttestationEvent,
  },
  verifier: {
    machine: verifierMachine,
    about: 'The appraisal of an enclave by a relying party. It runs in the command line.',
    events: VerifierEvent,
  },
  link: {
    machine: linkMachine,
    about: 'One end of the link between manager and agent.',
    events: LinkEvent,
  },
  manager: {
    machine: managerMachine,
    about: 'The manager process: root of its actor system and parent of every enclave.',
    events: ManagerEvent,
  },
  service: {
    machine: serviceMachine,
    about: 'The stream from a manager to the computation management service.',
    events: ServiceEvent,
  },
  agent: {
    machine: agentMachine,
    about:
      'The agent process: root of its actor system and parent of computation, transfers and attestations.',
    events: AgentEvent,
  },
};

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

const PAGES: Readonly<Record<string, string>> = {
  'docs/errors.md': errorsPage(),
  'docs/policy.md': policyPage(),
  'docs/schema/appraisal-policy.schema.json': json(policyJsonSchema()),
  'docs/schema/reference-values.schema.json': json(referenceJsonSchema()),
  ...Object.fromEntries(
    Object.entries(MACHINES).map(([name, page]) => [`docs/machines/${name}.md`, machinePage(name, page)]),
  ),
};

for (const [name, content] of Object.entries(PAGES)) {
  const file = path.join(ROOT, name);
  if (!process.argv.includes('--check')) {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content);
  } else if (!existsSync(file) || readFileSync(file, 'utf8') !== content) {
    console.error(`${name} is out of date; run node_modules/.bin/tsx scripts/pages.ts`);
    process.exitCode = 1;
  }
}
