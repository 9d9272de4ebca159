import { attestationMachine } from '../src/machines/attestation.machine.ts';
import { computationMachine } from '../src/machines/computation.machine.ts';
import { enclaveMachine } from '../src/machines/enclave.machine.ts';
import { managerMachine } from '../src/machines/manager.machine.ts';
import { serviceMachine } from '../src/machines/service.machine.ts';
import { transferMachine } from '../src/machines/transfer.machine.ts';
import { coverageOf } from '../test/live/coverage.ts';
import { LEFT_OUT } from '../test/live/left-out.ts';
import { walkLive, walkVirtualMachines } from '../test/live/paths.ts';

/**
 * The machines that the control API tells of, in real programs: level (b) in process mode, where everything that is left
 * out needs a reason, and with `--vm` level (c), a short set of paths in virtual machines.
 */
const MACHINES = {
  enclave: enclaveMachine,
  computation: computationMachine,
  transfer: transferMachine,
  attestation: attestationMachine,
  service: serviceMachine,
  manager: managerMachine,
};

const isVm = process.argv.includes('--vm');
const level = isVm ? 'level (c)' : 'level (b)';
console.log(
  `${level}: a real manager and its agents, driven through their APIs${isVm ? ', in virtual machines' : ''}`,
);
const told = isVm ? await walkVirtualMachines() : await walkLive((line) => console.log(`  ${line}`));
let unexplained = 0;
for (const [name, machine] of Object.entries(MACHINES)) {
  const { states, transitions, missedStates, missedTransitions } = coverageOf(
    machine,
    told.filter((step) => step.machine === name),
  );
  const percent = ([part, whole]: readonly [number, number]) =>
    `${part}/${whole} (${Math.floor((part / whole) * 100)} %)`;
  console.log(`${name.padEnd(12)} states ${percent(states)}, transitions ${percent(transitions)}`);
  if (isVm) continue;
  for (const state of missedStates)
    console.log(`  state left out: ${state}, which only transitions left out lead to`);
  for (const transition of missedTransitions) {
    const known = LEFT_OUT.find(
      (each) => (each.machine === '' || each.machine === name) && each.match.test(transition),
    );
    if (known === undefined) unexplained += 1;
    console.log(`  left out: ${transition}${known === undefined ? '' : `: ${known.reason}`}`);
  }
}
if (!isVm) console.log(`${level}: ${unexplained} transitions are left out without a reason`);
process.exitCode = unexplained === 0 ? 0 : 1;
