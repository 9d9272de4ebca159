import { agentMachine } from '../src/machines/agent.machine.ts';
import { attestationMachine } from '../src/machines/attestation.machine.ts';
import { computationMachine } from '../src/machines/computation.machine.ts';
import { enclaveMachine } from '../src/machines/enclave.machine.ts';
import { linkMachine } from '../src/machines/link.machine.ts';
import { managerMachine } from '../src/machines/manager.machine.ts';
import { MIRRORED } from '../src/machines/mirrored.ts';
import { serviceMachine } from '../src/machines/service.machine.ts';
import { transferMachine } from '../src/machines/transfer.machine.ts';
import { verifierMachine } from '../src/machines/verifier.machine.ts';
import { stopAll } from '../test/harness/system.ts';
import { coverageOf, type Step } from '../test/live/coverage.ts';
import { LEFT_OUT } from '../test/live/left-out.ts';
import { walkLive } from '../test/live/paths/index.ts';
import { walkVirtualMachines } from '../test/live/paths/virtual-machines.ts';
import { removeTrace, TRACE_FILE, traced } from '../test/live/trace.ts';

/**
 * Every machine in real programs: level (b) in process mode, where everything that is left out needs a reason, and with
 * `--vm` level (c), a short set of paths in virtual machines. Names of paths as arguments go those alone.
 */
const MACHINES = {
  enclave: enclaveMachine,
  computation: computationMachine,
  transfer: transferMachine,
  attestation: attestationMachine,
  verifier: verifierMachine,
  link: linkMachine,
  agent: agentMachine,
  service: serviceMachine,
  manager: managerMachine,
};

const isVm = process.argv.includes('--vm');
const level = isVm ? 'level (c)' : 'level (b)';
console.log(
  `${level}: real managers, agents and commands, driven from outside${isVm ? ', in virtual machines' : ''}`,
);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void stopAll().finally(() => process.exit(1)));
}
try {
  const failures: unknown[] = [];
  // The measured guest writes no trace: of its machines the manager's mirrors tell.
  const mirrored = isVm
    ? (await walkVirtualMachines()).filter(({ machine }) => Object.hasOwn(MIRRORED, machine))
    : [];
  if (!isVm) failures.push(...(await walkLive(process.argv.slice(2), (line) => console.log(`  ${line}`))));
  const findings = report([...traced(), ...mirrored]);
  for (const failure of failures) console.error(failure);
  process.exitCode = findings + failures.length === 0 ? 0 : 1;
} finally {
  await stopAll();
  if (process.exitCode === 0) removeTrace();
  else console.log(`${level}: the trace is ${TRACE_FILE}`);
}

/** Prints what was covered; gives the number of things that are not as they should be. */
function report(steps: readonly (Step & { readonly machine: string })[]): number {
  let findings = 0;
  for (const [name, machine] of Object.entries(MACHINES)) {
    const own = steps.filter((step) => step.machine === name);
    const { states, transitions, missedStates, missedTransitions, strange } = coverageOf(machine, own);
    console.log(`${name.padEnd(12)} states ${percent(states)}, transitions ${percent(transitions)}`);
    for (const step of strange) console.log(`  a step that its chart does not have: ${step}`);
    findings += strange.length;
    if (isVm) continue;
    for (const state of missedStates) console.log(`  state left out: ${state}`);
    for (const transition of missedTransitions) {
      const known = LEFT_OUT.find((each) => each.machine === name && each.match.test(transition));
      if (known === undefined) findings += 1;
      console.log(`  left out: ${transition}: ${known?.reason ?? 'without a reason'}`);
    }
    findings += missedStates.length;
  }
  console.log(`${level}: ${steps.length} steps; ${findings} findings`);
  return findings;
}

function percent([part, whole]: readonly [number, number]): string {
  return `${part}/${whole} (${Math.floor((part / whole) * 100)} %)`;
}
