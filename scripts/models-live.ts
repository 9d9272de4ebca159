import { attestationMachine } from '../src/machines/attestation.machine.ts';
import { computationMachine } from '../src/machines/computation.machine.ts';
import { enclaveMachine } from '../src/machines/enclave.machine.ts';
import { managerMachine } from '../src/machines/manager.machine.ts';
import { serviceMachine } from '../src/machines/service.machine.ts';
import { transferMachine } from '../src/machines/transfer.machine.ts';
import { coverageOf } from '../test/live/coverage.ts';
import { LEFT_OUT } from '../test/live/left-out.ts';
import { walkLive } from '../test/live/paths.ts';

/** Level (b): the machines that the control API tells of, in a real manager and its agents in process mode. */
const MACHINES = {
  enclave: enclaveMachine,
  computation: computationMachine,
  transfer: transferMachine,
  attestation: attestationMachine,
  service: serviceMachine,
  manager: managerMachine,
};

console.log('level (b): a real manager and its agents, driven through their APIs');
const told = await walkLive((line) => console.log(`  ${line}`));
let unexplained = 0;
for (const [name, machine] of Object.entries(MACHINES)) {
  const { states, transitions, missedStates, missedTransitions } = coverageOf(
    machine,
    told.filter((step) => step.machine === name),
  );
  const percent = ([part, whole]: readonly [number, number]) =>
    `${part}/${whole} (${Math.floor((part / whole) * 100)} %)`;
  console.log(`${name.padEnd(12)} states ${percent(states)}, transitions ${percent(transitions)}`);
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
console.log(`level (b): ${unexplained} transitions are left out without a reason`);
process.exitCode = unexplained === 0 ? 0 : 1;
