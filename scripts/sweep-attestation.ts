import { flipBit } from '../test/fakes/mutate.ts';
import { snpTargets, sweep, tdxTargets, tpmTargets } from '../test/fakes/sweep.ts';
import {
  attestationKeyTargets,
  collateralTargets,
  eventLogTargets,
  oakTargets,
  pemTableTargets,
} from '../test/fakes/sweep-more.ts';

/** Changes every single bit of evidence of each kind, with certificates, collateral and log, in turn. */
const targets = [
  ...[snpTargets, tdxTargets, tpmTargets, attestationKeyTargets].flatMap((make) => make()),
  ...[pemTableTargets, oakTargets, collateralTargets, eventLogTargets].flatMap((make) => make()),
];
let bits = 0;
let accepted = 0;
for (const target of targets) {
  if (!target.accepts(target.bytes)) throw new Error(`${target.name} is not accepted as it stands`);
  const found = sweep(target, flipBit, 1);
  bits += target.bytes.length * 8;
  accepted += found.length;
  console.log(`${target.bytes.length * 8} bits, ${found.length} accepted: ${target.name}`);
}
console.log(`${bits} bits changed in turn, ${accepted} accepted`);
process.exitCode = accepted === 0 ? 0 : 1;
