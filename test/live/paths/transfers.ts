import { once } from 'node:events';
import { z } from 'zod';
import { type SealedSegment, SegmentSealer } from '../../../src/protocol/segments.ts';
import { uploadSegments } from '../../../src/protocol/upload.ts';
import { TransferOpened } from '../../../src/rpc/sealed.ts';
import { cutRelay } from '../../harness/cutting-relay.ts';
import { succeeded } from '../../harness/system.ts';
import { PROGRAMS } from '../programs.ts';
import {
  type Conversation,
  inWorld,
  type LiveParties,
  manifestOf,
  type PublishedStep,
  partiesOf,
  type World,
} from '../world.ts';

const ALGORITHM = Buffer.from(PROGRAMS.good);

/** Uploads that break, are given up, refused, or come with other bytes than declared. */
export function transfers(): Promise<unknown> {
  return inWorld({}, async (world) => {
    const wide = await partiesOf(world, PROGRAMS.good, { one: '1'.repeat(64 * 2 ** 20) });
    await givenUp(world, wide);
    await wrong(world, wide);
    await broken(world, wide);
  });
}

/** Senders that do not come, and do not come back, within the time that a transfer waits. */
export function lateTransfers(): Promise<unknown> {
  return inWorld({ COCOSAI_TRANSFER_SECONDS: '2' }, async (world) => {
    const wide = await partiesOf(world, PROGRAMS.good, { one: '1'.repeat(64 * 2 ** 20) });
    const never = await openedIn(world, 'never', wide);
    const left = await begun(world, 'left', wide);
    left.sender.kill('SIGKILL');
    await left.ended;
    const isLate = (enclave: string) => (step: PublishedStep) =>
      step.address.startsWith(`${enclave}/transfer/`) && step.event === 'deadline.reached';
    await world.publishes('of a sender that never came', isLate(never.enclave));
    await world.publishes('of a sender that left', isLate(left.enclave));
    never.close();
  });
}

async function givenUp(world: World, wide: LiveParties): Promise<void> {
  const { digest } = manifestOf(wide).algorithm;
  const enclave = await world.ready('given-up', wide.manifest);
  const provider = await world.session(enclave, wide, 'provider', 'algorithm');
  const open = () => openAlgorithm(provider, digest);
  // Before its first byte.
  await abort(provider, (await open()).transferId);
  // Opened again by a sender that came back, and given up then.
  const first = await open();
  await open();
  await abort(provider, first.transferId);
  await provider.session.close();
  provider.close();
  // By its participant elsewhere, while it is on its way.
  const other = await begun(world, 'elsewhere', wide);
  const [, transferId = ''] = other.address.split('/transfer/');
  const elsewhere = await world.session(other.enclave, wide, 'provider', 'dataset');
  await abort(elsewhere, transferId);
  elsewhere.close();
  await other.ended;
}

/** More bytes than declared, and other bytes than declared. */
async function wrong(world: World, parties: LiveParties): Promise<void> {
  const more = await openedIn(world, 'more', parties);
  await send(more, [Buffer.alloc(ALGORITHM.length + 1)]).catch(() => undefined);
  const others = await openedIn(world, 'others', parties);
  await send(others, [Buffer.alloc(ALGORITHM.length)]).catch(() => undefined);
  for (const { enclave, close } of [more, others]) {
    await world.publishes(
      'of a refused transfer',
      (step) => step.address.startsWith(`${enclave}/`) && step.event === 'transfer.refused',
    );
    close();
  }
}

async function broken(world: World, wide: LiveParties): Promise<void> {
  const { system } = world;
  // Killed in mid-way, and gone on with.
  const half = await begun(world, 'half', wide);
  half.sender.kill('SIGKILL');
  await half.ended;
  await world.publishes(
    'of a suspended transfer',
    (step) => step.address === half.address && step.to === 'suspended',
  );
  succeeded(await system.cli(...uploadOf('half', wide)));
  // Altered on its way.
  const flipped = await world.ready('flipped', wide.manifest);
  const relay = z.string().parse((await world.control.get(flipped)).context['relayAddress']);
  const between = await cutRelay(relay.replace(/^unix:/, ''), { flipAt: 20 * 2 ** 20 });
  await system.cli(...uploadOf('flipped', wide));
  await between.close();
}

function uploadOf(name: string, parties: LiveParties): string[] {
  return ['data', name, 'one', parties.file('one'), ...parties.trust('provider')];
}

/** An upload that has begun, in an enclave of its own. */
async function begun(world: World, name: string, parties: LiveParties) {
  const enclave = await world.ready(name, parties.manifest);
  const sender = world.system.spawnCli(...uploadOf(name, parties));
  const ended = once(sender, 'exit');
  const isMoving = (step: PublishedStep) =>
    step.event === 'transfer.progress' && step.address.startsWith(`${enclave}/`);
  await world.publishes('of progress', isMoving);
  return { enclave, address: world.published.find(isMoving)?.address ?? '', sender, ended };
}

async function openAlgorithm({ session }: Conversation, digest: string): Promise<TransferOpened> {
  const terms = { method: 'transfer.open', input: 'algorithm', size: ALGORITHM.length, digest } as const;
  return session.call(terms, TransferOpened);
}

async function abort({ session }: Conversation, transferId: string): Promise<void> {
  await session.call({ method: 'transfer.abort', transferId }, z.null());
}

interface Opened extends Conversation {
  readonly enclave: string;
  readonly digest: string;
  readonly transfer: TransferOpened;
}

/** The algorithm's transfer, opened in an enclave of its own. */
async function openedIn(world: World, name: string, parties: LiveParties): Promise<Opened> {
  const enclave = await world.ready(name, parties.manifest);
  const conversation = await world.session(enclave, parties, 'provider', 'algorithm');
  const { digest } = manifestOf(parties).algorithm;
  return { ...conversation, enclave, digest, transfer: await openAlgorithm(conversation, digest) };
}

/** Sends these as the segments of a transfer, sealed as they must be; the command line would see what is wrong. */
async function send({ session, transfer, digest }: Opened, parts: readonly Uint8Array[]): Promise<void> {
  const { transferId: id, segmentSize, attempt, aead, ticket, firstSegment } = transfer;
  const terms = { id, input: 'algorithm', size: ALGORITHM.length, digest, segmentSize, attempt };
  const sealer = new SegmentSealer(uploadSegments(session.channel, aead, terms), firstSegment);
  async function* segments(): AsyncGenerator<SealedSegment> {
    for (const [index, part] of parts.entries()) yield sealer.seal(part, index === parts.length - 1);
  }
  await session.upload(ticket, segments());
  await session.call({ method: 'transfer.finish', transferId: id }, z.unknown());
}
