import type { AnyEventObject } from 'xstate';
import { attestationModel, transferModel } from '../../models/agent-children.model.ts';
import { computationModel } from '../../models/computation.model.ts';
import { createLink, type LinkOptions } from '../../src/link/link.ts';
import { MirrorSet } from '../../src/link/mirror/mirror.ts';
import { Seeded } from '../seeded.ts';
import { AgentSystem } from '../unit/link/agent-system.ts';
import { ChaosWire, type Fault, type Tamper } from './chaos-wire.ts';
import { VirtualTime } from './virtual-time.ts';

/** One run of a link over a hostile wire. The same seed and steps produce the same run. */
export interface ChaosOptions {
  readonly seed: number;
  /** Number of steps; all steps of the seed by default. */
  readonly steps?: number;
  /** Breaks the link of the run, to show that the checks find it. */
  readonly tamper?: (random: Seeded) => Tamper;
}

export interface ChaosReport {
  readonly seed: number;
  readonly steps: number;
  readonly events: number;
  readonly commands: number;
  readonly faults: Readonly<Record<Fault, number>>;
  /** Violations, as sentences; empty for a correct run. */
  readonly findings: readonly string[];
}

const MODELS = {
  computation: computationModel('auto'),
  'transfer/t': transferModel,
  'attestation/a': attestationModel,
};
const ADDRESSES = ['computation', 'transfer/t', 'attestation/a'] as const;
/** Longer than the longest stall, the longest back-off and a handshake. */
const QUIET_MS = 25_000;
const COMMAND_LIMIT_MS = 3_600_000;

/** Runs one scenario; never throws for a fault of the link. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const time = new VirtualTime();
  const restore = time.install();
  try {
    return await new Scenario(options, time).run();
  } finally {
    restore();
  }
}

/** The smallest number of steps of a failed run's seed that still fails. */
export async function shrinkChaos(options: ChaosOptions, failed: ChaosReport): Promise<ChaosReport> {
  for (let steps = 1; steps < failed.steps; steps++) {
    const report = await runChaos({ ...options, steps });
    if (report.findings.length > 0) return report;
  }
  return failed;
}

class Scenario {
  private readonly options: ChaosOptions;
  private readonly time: VirtualTime;
  private readonly random: Seeded;
  private readonly wire: ChaosWire;
  private readonly published: string[] = [];
  private readonly applied: string[] = [];
  private readonly ran = new Map<number, number>();
  private readonly answered = new Set<number>();
  private readonly findings: string[] = [];
  private readonly mirrors = new MirrorSet(() => undefined);
  private readonly system: AgentSystem;
  private readonly manager;
  private readonly agent;

  constructor(options: ChaosOptions, time: VirtualTime) {
    this.options = options;
    this.time = time;
    this.random = new Seeded(options.seed);
    const wireRandom = new Seeded(options.seed ^ 0x5bd1e995);
    this.wire = new ChaosWire(wireRandom, options.tamper?.(wireRandom));
    const both = { enclaveId: null, now: time.now } satisfies Partial<LinkOptions>;
    this.manager = createLink({
      ...both,
      role: 'manager',
      bootId: 'manager',
      open: this.wire.accept,
      onEvent: (body) => {
        this.mirrors.apply(body);
        this.applied.push(JSON.stringify(body));
      },
      onSnapshot: () => this.findings.push('a snapshot came although the journal holds everything'),
    });
    this.agent = createLink({
      ...both,
      role: 'agent',
      bootId: 'agent',
      open: this.wire.dial,
      snapshot: () => this.system.authority.snapshot(),
      onCommand: (_name, input) => {
        const number = Number(input);
        this.ran.set(number, (this.ran.get(number) ?? 0) + 1);
        return Promise.resolve(number);
      },
    });
    this.system = new AgentSystem((record) => {
      this.published.push(JSON.stringify(record));
      this.agent.publish(record);
    });
  }

  async run(): Promise<ChaosReport> {
    const { seed } = this.options;
    const planned = 30 + this.random.below(70);
    const steps = Math.min(planned, this.options.steps ?? planned);
    this.manager.start();
    this.agent.start();
    this.system.start();
    let commands = 0;
    for (let step = 0; step < steps; step++) {
      const choice = this.random.next();
      if (choice < 0.6) this.move();
      else if (choice < 0.64) this.replace();
      else if (choice < 0.72) this.command(commands++);
      else if (choice < 0.76) this.wire.cut();
      else await this.time.advance(1 + this.random.below(1_500));
    }
    this.wire.calm();
    await this.time.advance(QUIET_MS);
    this.judge(commands);
    this.manager.close();
    this.agent.close();
    this.system.stop();
    await this.time.advance(0);
    return {
      seed,
      steps,
      events: this.published.length,
      commands,
      faults: this.wire.faults,
      findings: this.findings,
    };
  }

  /** Mostly a legal event; otherwise little would change. */
  private move(): void {
    const address = this.random.pick(ADDRESSES);
    const events: readonly AnyEventObject[] = MODELS[address].events;
    const legal = events.filter((event) => this.system.get(address)?.can(event));
    this.system.send(address, this.random.pick(legal.length > 0 && this.random.chance(0.8) ? legal : events));
  }

  /** Ends an actor and starts another one at its address. */
  private replace(): void {
    const address = this.random.pick(['transfer/t', 'attestation/a'] as const);
    this.system.retire(address);
    this.system.request(address);
  }

  private command(number: number): void {
    this.manager.command('work', number, COMMAND_LIMIT_MS).then(
      (answer) => {
        if (answer !== number) this.findings.push(`command ${number} was answered with ${String(answer)}`);
        this.answered.add(number);
      },
      // The run is over.
      () => undefined,
    );
  }

  private judge(commands: number): void {
    const { findings, published, applied } = this;
    if (!this.manager.isLive || !this.agent.isLive) findings.push('the link is not live when all is quiet');
    const wrong = published.findIndex((record, index) => applied[index] !== record);
    if (applied.length < published.length)
      findings.push(`${published.length - applied.length} events were lost`);
    if (applied.length > published.length)
      findings.push(`${applied.length - published.length} events came twice`);
    else if (wrong !== -1) findings.push(`event ${wrong} is not the one that was sent`);
    for (const address of ADDRESSES) {
      const own = this.system.get(address);
      const mirrored = this.mirrors.get(address);
      if (JSON.stringify([own?.value, own?.context]) !== JSON.stringify([mirrored?.value, mirrored?.context]))
        findings.push(`the mirror of ${address} differs`);
    }
    for (let number = 0; number < commands; number++) {
      const times = this.ran.get(number) ?? 0;
      if (times !== 1) findings.push(`command ${number} ran ${times} times`);
      else if (!this.answered.has(number)) findings.push(`command ${number} was not answered`);
    }
  }
}
