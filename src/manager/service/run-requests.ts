import { canonicalDigest } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import { Manifest } from '../../machines/manifest.ts';
import type {
  EnclaveWishes,
  RunAnswer,
  RunRequest,
  StopAnswer,
  StopRequest,
} from '../../rpc/gen/cocosai/service/v1/service.ts';
import type { IdempotencyStore } from './idempotency-store.ts';
import type { Outbox } from './outbox.ts';

/** What the service asks for, done at most once. */

const NO_WISHES: EnclaveWishes = { name: '', mode: '', vcpus: 0, memoryMib: 0, platform: '' };

export interface RunHandlers {
  /**
   * Makes an enclave for the computation and gives its id once the enclave is stored, so that `findRun` finds it
   * from then on. When it rejects there is no enclave.
   */
  readonly onRun: (manifest: Manifest, wishes: EnclaveWishes) => Promise<string>;
  /** The id of the enclave that was made for a computation, when an earlier process did not live to note it. */
  readonly findRun: (computationId: string) => string | null;
  /** Begins to stop the enclave of an accepted run; resolves for one that has ended already. */
  readonly onStop: (enclaveId: string) => Promise<void>;
  /** Ids of the computations whose enclaves have ended. */
  readonly endedRuns: () => readonly string[];
  /** The service has every event of this enclave so far: removes the enclave if it has ended. */
  readonly onAcknowledged: (enclaveId: string) => Promise<void>;
}

interface RunRequestsOptions extends RunHandlers {
  readonly idempotency: IdempotencyStore;
  readonly outbox: Outbox;
}

export class RunRequests {
  private readonly options: RunRequestsOptions;
  /** The last request of each computation that is under way; the next one waits for it. */
  private readonly busy = new Map<string, Promise<unknown>>();

  constructor(options: RunRequestsOptions) {
    this.options = options;
  }

  /** Never rejects: what is wrong becomes a refusal. */
  async run(request: RunRequest): Promise<RunAnswer> {
    const { computationId } = request;
    try {
      const enclaveId = await this.inTurn(computationId, () => this.start(request));
      return { computationId, outcome: { $case: 'accepted', value: { enclaveId } } };
    } catch (thrown) {
      return { computationId, outcome: { $case: 'refused', value: refusal(thrown) } };
    }
  }

  /** Never rejects: what is wrong becomes a refusal. */
  async stop({ computationId }: StopRequest): Promise<StopAnswer> {
    try {
      await this.inTurn(computationId, async () => {
        const { idempotency, findRun, onStop } = this.options;
        const entry = idempotency.get(computationId);
        if (entry === null) {
          throw new CocosError('ENCLAVE_NOT_FOUND', `No run of ${computationId} was accepted here.`);
        }
        // By its enclave: a client of this host may have made another one of the same manifest.
        const enclaveId = entry.enclaveId ?? findRun(computationId);
        if (enclaveId !== null) await onStop(enclaveId);
      });
      return { computationId, outcome: { $case: 'accepted', value: {} } };
    } catch (thrown) {
      return { computationId, outcome: { $case: 'refused', value: refusal(thrown) } };
    }
  }

  /** Removes what ran for a computation when it has ended and the service has acknowledged its last event. */
  async removeAcknowledged(computationId: string): Promise<void> {
    const { idempotency, outbox, onAcknowledged } = this.options;
    if (!outbox.isAcknowledged(computationId)) return;
    const enclaveId = idempotency.get(computationId)?.enclaveId ?? null;
    if (enclaveId !== null) await onAcknowledged(enclaveId);
  }

  /** Removes what ended while no acknowledgement could report it. */
  async removeEnded(): Promise<void> {
    for (const computationId of this.options.endedRuns()) await this.removeAcknowledged(computationId);
  }

  private async start({ computationId, manifestJson, wishes = NO_WISHES }: RunRequest): Promise<string> {
    const manifest = readManifest(manifestJson);
    if (manifest.id !== computationId) {
      throw new CocosError('MANIFEST_INVALID', `The manifest is of ${manifest.id}, not of ${computationId}.`);
    }
    const { idempotency, outbox, onRun, findRun } = this.options;
    const { name, mode, vcpus, memoryMib, platform } = wishes;
    // Left out where it is empty, so that what an earlier version noted stays the same.
    const named = platform === '' ? {} : { platform };
    const terms = canonicalDigest({ manifest, wishes: { name, mode, vcpus, memoryMib, ...named } });
    const entry = idempotency.get(computationId);
    if (entry !== null && entry.terms !== terms) {
      throw new CocosError('RUN_CONFLICT', `${computationId} was asked for on other terms before.`);
    }
    const known = entry?.enclaveId ?? (entry === null ? null : findRun(computationId));
    if (known !== null) {
      if (entry?.enclaveId !== known) await idempotency.put(computationId, { terms, enclaveId: known });
      return known;
    }
    if (outbox.isNearlyFull) {
      throw new CocosError('OUTBOX_FULL', 'Too many events wait for the service; acknowledge them first.');
    }
    await idempotency.put(computationId, { terms, enclaveId: null });
    try {
      const enclaveId = await onRun(manifest, wishes);
      await idempotency.put(computationId, { terms, enclaveId });
      return enclaveId;
    } catch (thrown) {
      // Nothing runs, so the service may ask again, on other terms too.
      if (findRun(computationId) === null) await idempotency.remove(computationId);
      throw thrown;
    }
  }

  /** Requests of one computation are done one after the other. */
  private async inTurn<T>(computationId: string, run: () => Promise<T>): Promise<T> {
    const before = this.busy.get(computationId) ?? Promise.resolve();
    const mine = before.then(run, run);
    this.busy.set(computationId, mine);
    try {
      return await mine;
    } finally {
      if (this.busy.get(computationId) === mine) this.busy.delete(computationId);
    }
  }
}

function readManifest(json: string): Manifest {
  try {
    return Manifest.parse(JSON.parse(json));
  } catch (cause) {
    throw new CocosError('MANIFEST_INVALID', 'The manifest is not valid.', { cause });
  }
}

function refusal(thrown: unknown) {
  const { code, message, action } = CocosError.from(thrown);
  return { code, message, action };
}
