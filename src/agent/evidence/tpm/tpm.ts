import { setTimeout as sleep } from 'node:timers/promises';
import { CocosError } from '../../../errors.ts';
import { type Bank, type Curve, TRY_AGAIN } from './codes.ts';
import * as command from './commands.ts';
import type { TpmPort } from './device.ts';
import * as response from './responses.ts';

const TRIES = 5;
const TRY_AGAIN_MS = 20;
/** Bytes per NV_Read; every TPM supports this size. */
const NV_PART_BYTES = 512;
const MAX_NV_BYTES = 16 * 1024;

/** The TPM operations that the agent needs. Commands run one at a time. */
export class Tpm {
  readonly #port: TpmPort;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(port: TpmPort) {
    this.#port = port;
  }

  /**
   * Creates the attestation key in the TPM's memory. Nothing is stored: the key disappears with its handle.
   *
   * @throws CocosError TPM_FAILED, as every operation here
   */
  async createAttestationKey(curve: Curve): Promise<response.CreatedKey> {
    return response.parseCreatePrimary(
      await this.#send('CreatePrimary', command.createAttestationKey(curve)),
    );
  }

  /** @param qualifyingData at most 64 bytes; becomes part of the quote */
  async quote(
    key: number,
    curve: Curve,
    qualifyingData: Uint8Array,
    selections: readonly command.PcrSelection[],
  ): Promise<response.Quote> {
    return response.parseQuote(
      await this.#send('Quote', command.quote(key, curve, qualifyingData, selections)),
    );
  }

  /** Values of PCRs of one bank by index; none if the bank is not active. */
  async readPcrs(bank: Bank, pcrs: readonly number[]): Promise<Map<number, Uint8Array>> {
    const values = new Map<number, Uint8Array>();
    let left = [...pcrs];
    while (left.length > 0) {
      const answer = response.parsePcrRead(
        await this.#send('PCR_Read', command.pcrRead([{ bank, pcrs: left }])),
      );
      const got = answer.selections.filter((each) => each.bank === bank).flatMap((each) => each.pcrs);
      if (got.length === 0) break;
      if (got.length !== answer.values.length || got.some((pcr) => !left.includes(pcr))) {
        throw new CocosError('TPM_FAILED', 'The TPM responded with PCRs that were not requested.');
      }
      for (const [at, pcr] of got.entries()) values.set(pcr, answer.values[at] ?? new Uint8Array());
      left = left.filter((pcr) => !got.includes(pcr));
    }
    return values;
  }

  async extendPcr(
    pcr: number,
    digests: readonly { readonly bank: Bank; readonly digest: Uint8Array }[],
  ): Promise<void> {
    response.parseNothing('PCR_Extend', await this.#send('PCR_Extend', command.pcrExtend(pcr, digests)));
  }

  /** Exactly `size` bytes from the TPM's random generator. */
  async random(size: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let left = size;
    while (left > 0) {
      const part = response.parseGetRandom(await this.#send('GetRandom', command.getRandom(left)));
      if (part.length === 0 || part.length > left) {
        throw new CocosError(
          'TPM_FAILED',
          `The TPM returned ${part.length} random bytes; ${left} were requested.`,
        );
      }
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  }

  async readPublic(handle: number): Promise<response.PublicObject> {
    return response.parseReadPublic(await this.#send('ReadPublic', command.readPublic(handle)));
  }

  async flush(handle: number): Promise<void> {
    response.parseNothing('FlushContext', await this.#send('FlushContext', command.flushContext(handle)));
  }

  /** The data of an NV index, such as the certificate of the endorsement key. */
  async readNv(index: number): Promise<Uint8Array> {
    const size = response.parseNvReadPublic(await this.#send('NV_ReadPublic', command.nvReadPublic(index)));
    if (size > MAX_NV_BYTES) throw new CocosError('TPM_FAILED', `The NV index has ${size} bytes.`);
    const parts: Uint8Array[] = [];
    for (let offset = 0; offset < size; offset += NV_PART_BYTES) {
      const part = Math.min(NV_PART_BYTES, size - offset);
      parts.push(response.parseNvRead(await this.#send('NV_Read', command.nvRead(index, offset, part))));
    }
    return Buffer.concat(parts);
  }

  /** Sends commands one after the other, and repeats a command while the TPM is busy. */
  #send(what: string, bytes: Uint8Array): Promise<Uint8Array> {
    const mine = this.#turn.then(async () => {
      for (let tries = 1; ; tries++) {
        const answer = await this.#port.transmit(bytes);
        const code = response.responseCode(what, answer);
        if (!TRY_AGAIN.has(code) || tries === TRIES) return answer;
        await sleep(TRY_AGAIN_MS * tries);
      }
    });
    this.#turn = mine.catch(() => undefined);
    return mine;
  }
}
