import { Command, Option } from 'commander';
import { canonicalJson } from '../../crypto/digest.ts';
import { CocosError, EXIT } from '../../errors.ts';
import { Cause } from '../../machines/common.ts';
import type { ActorInfo, ControlClient } from '../../rpc/control-client.ts';
import type { CommandContext } from '../command-context.ts';
import { readManifest } from '../global-options.ts';
import { table } from '../output.ts';
import { failureOf } from '../trust/enclave-failure.ts';
import { showWatch } from './show-watch.ts';

interface CreateOptions {
  readonly manifest?: string;
  readonly mode?: string;
  readonly vcpus?: string;
  readonly memory?: string;
  readonly wait: boolean;
}

export function enclaveCommands(context: CommandContext): Command {
  const { output, withManager } = context;
  const enclave = new Command('enclave').description('enclaves of a manager');
  enclave
    .command('create')
    .description('create an enclave and wait until its agent is ready')
    .argument('[name]', 'made up when left out', '')
    .option('--manifest <file>', 'manifest to deliver; its digest is bound into the launch')
    .addOption(new Option('--mode <mode>', 'how it runs').choices(['vm', 'process']))
    .option('--vcpus <number>')
    .option('--memory <MiB>')
    .option('--no-wait', 'return as soon as the manager has taken the request')
    .action((name: string, options: CreateOptions, command: Command) =>
      withManager(command, async (client) => {
        const manifest =
          options.manifest === undefined ? '' : canonicalJson(await readManifest(options.manifest));
        const created = await client.create({
          name,
          mode: options.mode ?? '',
          vcpus: whole(options.vcpus, '--vcpus'),
          memoryMib: whole(options.memory, '--memory'),
          manifestJson: manifest,
        });
        const ready = options.wait ? await waitForState(context, client, created, 'alive.ready') : created;
        output.result(describe(ready), ready);
      }),
    );
  enclave
    .command('list')
    .description('every enclave with its state')
    .action((_: unknown, command: Command) =>
      withManager(command, async (client) => {
        const enclaves = (await client.list('')).filter((actor) => actor.machine === 'enclave');
        const rows = enclaves.map((actor) => [
          id(actor),
          text(actor, 'name'),
          actor.state,
          text(actor, 'mode'),
        ]);
        output.result(table([['ID', 'NAME', 'STATE', 'MODE'], ...rows]), enclaves);
      }),
    );
  enclave
    .command('show')
    .description('one enclave and what runs in it')
    .argument('<enclave>')
    .action((name: string, _: unknown, command: Command) =>
      withManager(command, async (client) => {
        const shown = await client.get(name);
        const inside = (await client.list(shown.address)).filter((actor) => actor.address !== shown.address);
        const rows = inside.map((actor) => [actor.address.slice(shown.address.length + 1), actor.state]);
        output.result(rows.length === 0 ? describe(shown) : `${describe(shown)}\n\n${table(rows)}`, {
          ...shown,
          inside,
        });
      }),
    );
  enclave
    .command('watch')
    .description('transitions as they happen; ends when the enclave has ended')
    .argument('[enclave]', 'all of them when left out', '')
    .action((name: string, _: unknown, command: Command) =>
      withManager(command, async (client) => {
        const failed = await showWatch(output, client, name);
        if (failed) context.exit(EXIT.failed);
      }),
    );
  enclave
    .command('stop')
    .description('stop an enclave and wait until nothing of it runs')
    .argument('<enclave>')
    .action((name: string, _: unknown, command: Command) =>
      withManager(command, async (client) => {
        const before = await client.send(name, { type: 'enclave.stop' });
        const stopped = await waitForState(context, client, before, 'stopped.settled');
        output.result(describe(stopped), stopped);
      }),
    );
  enclave
    .command('remove')
    .description('stop an enclave if it runs, and forget it and its logs')
    .argument('<enclave>')
    .action((name: string, _: unknown, command: Command) =>
      withManager(command, async (client) => {
        await client.remove(name);
        output.result(`removed ${name}`, { removed: name });
      }),
    );
  return enclave;
}

/** Waits until an actor is in a state. @throws CocosError its cause when it fails instead */
async function waitForState(
  { output }: CommandContext,
  client: ControlClient,
  actor: ActorInfo,
  wanted: string,
): Promise<ActorInfo> {
  const abort = new AbortController();
  try {
    for await (const item of client.watch(actor.address, abort.signal)) {
      const seen =
        item.kind === 'snapshot'
          ? { address: item.actor.address, state: item.actor.state, context: item.actor.context }
          : item.kind === 'transition'
            ? { address: item.transition.address, state: item.transition.toState, context: item.context }
            : null;
      if (seen === null || seen.address !== actor.address) continue;
      output.progress(`${actor.address}: ${seen.state}`);
      if (seen.state === wanted) return await client.get(actor.address);
      if (seen.state === 'failed.settled') throw failureOf(seen.context);
      if (seen.state === 'stopped.settled') throw new CocosError('CANCELLED', 'The enclave was stopped.');
    }
  } finally {
    abort.abort();
  }
  throw new CocosError('MANAGER_UNAVAILABLE', 'The manager ended before the enclave was ready.');
}

function describe(actor: ActorInfo): string {
  const cause = Cause.safeParse(actor.context['cause']);
  return table([
    ['enclave', `${text(actor, 'name')} (${id(actor)})`],
    ['state', actor.state],
    ['mode', `${text(actor, 'mode')}, accelerator ${text(actor, 'accelerator')}, pid ${text(actor, 'pid')}`],
    ['measurement', text(actor, 'measurement')],
    ['manifest', text(actor, 'manifestDigest')],
    ['relay', text(actor, 'relayAddress')],
    ['console', text(actor, 'logFile')],
    ...(cause.success ? [['cause', `${cause.data.code}: ${cause.data.message}`]] : []),
  ]);
}

function id(actor: ActorInfo): string {
  return actor.address.slice('enclave/'.length);
}

function text(actor: ActorInfo, key: string): string {
  const value = actor.context[key];
  return value === null || value === undefined ? '-' : String(value);
}

function whole(value: string | undefined, option: string): number {
  if (value === undefined) return 0;
  if (!/^[1-9][0-9]{0,8}$/.test(value)) throw new CocosError('USAGE', `${option} takes a whole number.`);
  return Number(value);
}
