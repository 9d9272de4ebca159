import { createHash } from 'node:crypto';
import type { Bank } from './codes.ts';
import { MeasuredLog } from './measured-log.ts';
import type { Tpm } from './tpm.ts';

/**
 * PCR of the agent. The agent extends it with its own program and then with the manifest, each before its first use.
 * It cannot be reset while the guest runs (Platform TPM Profile, 4.7), and nothing else in the guest extends it.
 */
export const AGENT_PCR = 15;
/** All PCRs that firmware, boot stub and agent extend. PCR 10 belongs to the kernel's IMA, whose log is not available. */
const QUOTED = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15];
const QUOTED_BANK = 'sha256';
const CURVE = 'P-256';

export interface VtpmEvidence {
  /** TPMS_ATTEST. */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array;
  readonly bank: 'sha256';
  /** Value of each quoted PCR, by index. */
  readonly pcrs: Readonly<Record<string, Uint8Array>>;
  readonly eventLog: Uint8Array;
}

/** The guest's TPM with the attestation key of this boot. */
export class Vtpm {
  readonly #tpm: Tpm;
  readonly #key: number;
  /** TPMT_PUBLIC of the attestation key. */
  readonly publicArea: Uint8Array;
  readonly #log: MeasuredLog;
  readonly #measured = new Map<string, Promise<void>>();
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(tpm: Tpm, key: number, publicArea: Uint8Array, log: MeasuredLog) {
    this.#tpm = tpm;
    this.#key = key;
    this.publicArea = publicArea;
    this.#log = log;
  }

  /**
   * @param firmwareLog the firmware's event log, or null
   * @throws CocosError TPM_FAILED, as every operation here
   */
  static async open(tpm: Tpm, firmwareLog: Uint8Array | null): Promise<Vtpm> {
    const { handle, publicArea } = await tpm.createAttestationKey(CURVE);
    return new Vtpm(tpm, handle, publicArea, new MeasuredLog(firmwareLog));
  }

  /** Extends the agent's PCR with the digest of `bytes` and logs it as `what`; once for each name. */
  measure(what: string, bytes: Uint8Array): Promise<void> {
    const before = this.#measured.get(what);
    if (before !== undefined) return before;
    const done = this.#inTurn(async () => {
      const digests = new Map<Bank, Uint8Array>(
        this.#log.banks.map((bank) => [bank, createHash(bank).update(bytes).digest()]),
      );
      await this.#tpm.extendPcr(
        AGENT_PCR,
        [...digests].map(([bank, digest]) => ({ bank, digest })),
      );
      this.#log.append(AGENT_PCR, what, digests);
    });
    this.#measured.set(what, done);
    return done;
  }

  /** A quote of these PCRs with their values and the event log. */
  quote(qualifyingData: Uint8Array): Promise<VtpmEvidence> {
    return this.#inTurn(async () => {
      const selection = [{ bank: QUOTED_BANK, pcrs: QUOTED }] as const;
      const { attest, signature } = await this.#tpm.quote(this.#key, CURVE, qualifyingData, selection);
      const pcrs = await this.#tpm.readPcrs(QUOTED_BANK, QUOTED);
      return {
        attest,
        signature,
        bank: QUOTED_BANK,
        pcrs: Object.fromEntries(pcrs),
        eventLog: this.#log.bytes(),
      };
    });
  }

  /** Serializes operations, so that quote, values and log describe the same moment. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }
}
