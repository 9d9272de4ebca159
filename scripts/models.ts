import { type Exploration, explore } from '../models/explore.ts';
import { MODELS } from '../models/index.ts';

/** Prints how much of every machine its model covers, with what is left out. */

let missed = 0;
for (const [name, models] of Object.entries(MODELS)) {
  const explorations = models.map(explore);
  const states = inAll(explorations, (each) => each.missedStates);
  const transitions = inAll(explorations, (each) => each.missedTransitions);
  const wrong = explorations.flatMap((each) => [...each.violations, ...each.illegalMoves]);
  missed += states.length + transitions.length + wrong.length;
  const [first] = explorations;
  if (first === undefined) continue;
  const covered = (total: number, left: number) =>
    `${total - left}/${total} (${Math.floor(((total - left) / total) * 100)} %)`;
  console.log(
    `${name.padEnd(12)} states ${covered(first.stateCount, states.length)}, transitions ${covered(first.transitionCount, transitions.length)}`,
  );
  for (const each of [...states, ...transitions, ...wrong]) console.log(`  not as it should be: ${each}`);
}
console.log(
  missed === 0
    ? 'models: every state reached, every transition taken, every invariant kept'
    : `models: ${missed} findings`,
);
process.exitCode = missed === 0 ? 0 : 1;

/** What none of a machine's models covers. */
function inAll(
  explorations: readonly Exploration[],
  missing: (each: Exploration) => readonly string[],
): string[] {
  const [first, ...others] = explorations.map(missing);
  return (first ?? []).filter((item) => others.every((other) => other.includes(item)));
}
