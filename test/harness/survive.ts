import { once } from 'node:events';
import { Seeded } from '../seeded.ts';
import { type CuttingRelay, cutRelay } from './cutting-relay.ts';
import { collect, restartManager, type System, succeeded } from './system.ts';

/** One upload under random cuts, each of them while bytes are on their way. */

export interface Survival {
  readonly cuts: Readonly<Record<string, number>>;
  /** Bytes that participants sent beyond those of the file, control and framing among them. */
  readonly extraBytes: number;
}

interface SurviveOptions {
  readonly size: number;
  readonly cuts: number;
  readonly seed: number;
  /** Socket of the enclave's relay. */
  readonly relay: string;
  readonly upload: readonly string[];
  /** Cuts the manager's link to the agent, and nothing else. */
  readonly cutLink: () => void;
}

/** More than the control of a session: a connection that has carried this much carries segments. */
const UNDER_WAY = 256 * 1024;

const KINDS = ['relay cut', 'command killed', 'link cut', 'manager killed'] as const;

/** Cuts at random places of the file, in each of the ways in turn; the upload must end by itself. */
export async function surviveUpload(system: System, options: SurviveOptions): Promise<Survival> {
  const random = new Seeded(options.seed);
  const places = Array.from({ length: options.cuts }, () => random.next() * options.size * 0.95).sort(
    (a, b) => a - b,
  );
  const cuts = { 'relay cut': 0, 'command killed': 0, 'link cut': 0, 'manager killed': 0 };
  let carried = 0;
  let relay: CuttingRelay = await cutRelay(options.relay, {});
  let command = system.spawnCli(...options.upload);
  let ended = collect(command);
  const sentHere = () => relay.sent.reduce((sum, bytes) => sum + bytes, 0);
  /** Connections at this relay when the last cut fell; the next one waits until newer ones carry bytes. */
  let connectionsCut = 0;
  const underWay = () => relay.sent.slice(connectionsCut).some((bytes) => bytes >= UNDER_WAY);
  const leaveRelay = async () => {
    carried += sentHere();
    await relay.close();
  };
  for (const [index, place] of places.entries()) {
    while (carried + sentHere() < place || !underWay()) {
      if (command.exitCode !== null)
        throw new Error(`the upload ended before cut ${index}: ${(await ended).stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const kind = KINDS[index % KINDS.length] ?? 'relay cut';
    cuts[kind] += 1;
    if (kind === 'relay cut') relay.cut();
    if (kind === 'command killed') {
      const gone = once(command, 'exit');
      command.kill('SIGKILL');
      await gone;
      command = system.spawnCli(...options.upload);
      ended = collect(command);
    }
    if (kind === 'manager killed') {
      await leaveRelay();
      // Else it could be back at the manager's relay before the cutting one is in its place, unseen.
      command.kill('SIGSTOP');
      await restartManager(system);
      relay = await cutRelay(options.relay, {});
      command.kill('SIGCONT');
    }
    // The link carries no bytes of participants: the upload goes on as if nothing were.
    if (kind === 'link cut') options.cutLink();
    else connectionsCut = relay.sent.length;
  }
  succeeded(await ended);
  await leaveRelay();
  return { cuts, extraBytes: carried - options.size };
}
