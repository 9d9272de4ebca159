import { Unpackr } from 'msgpackr';
import { type AnyActor, createActor } from 'xstate';
import { attestationMachine } from '../../src/machines/attestation.machine.ts';
import { computationMachine } from '../../src/machines/computation.machine.ts';
import { inert } from '../../src/machines/effect.ts';
import { transferMachine } from '../../src/machines/transfer.machine.ts';
import { ATTESTATION_INPUT, OPENING, streamed, streamFrames, TRANSFER_INPUT } from './world.ts';

/** What the same events cost without any of ours: the interpreter alone, and the decoder alone. */

/** Events per second of XState actors that run the three charts with effects that do nothing. */
export function bareXstate(events: number): number {
  const actors: Readonly<Record<string, AnyActor>> = {
    computation: createActor(
      computationMachine.provide({
        actors: { runAlgorithm: inert(), sealResult: inert(), clock: inert() },
      }),
    ),
    'attestation/a': createActor(
      attestationMachine.provide({ actors: { collect: inert(), clock: inert() } }),
      { input: ATTESTATION_INPUT },
    ),
    'transfer/t': createActor(
      transferMachine.provide({ actors: { check: inert(), release: inert(), clock: inert() } }),
      { input: TRANSFER_INPUT },
    ),
  };
  for (const actor of Object.values(actors)) actor.start();
  for (const { address, event } of OPENING) actors[address]?.send(event);
  const stream = Array.from({ length: events }, (_, position) => streamed(position));
  const begin = performance.now();
  for (const { address, event } of stream) actors[address]?.send(event);
  return events / ((performance.now() - begin) / 1000);
}

/** Frames per second of msgpackr over the payloads of the stream, with nothing checked. */
export function bareMsgpackr(events: number): number {
  const payloads = streamFrames(0, events).map((frame) => frame.subarray(4));
  const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });
  let kinds = 0;
  const begin = performance.now();
  for (const payload of payloads) {
    const frame: unknown = unpackr.unpack(payload);
    if (Array.isArray(frame)) kinds += 1;
  }
  const seconds = (performance.now() - begin) / 1000;
  if (kinds !== events) throw new Error('a frame was not decoded');
  return events / seconds;
}
