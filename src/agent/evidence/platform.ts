import { encodeClaims } from '../../attestation/evidence/claims.ts';
import { canonicalJson, digestFromText } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import type { Transport } from '../../link/transport/transport.ts';
import type { Manifest } from '../../machines/manifest.ts';
import { type AgentConfig, GUEST_PROGRAM } from '../config.ts';
import type { PlatformPort } from '../ports.ts';
import { type GuestChain, openGuestChain } from './dice/guest-chain.ts';
import { type AgentIdentity, claimsOf } from './identity.ts';
import { findReportProvider, type ReportProvider } from './report-provider.ts';
import type { Vtpm } from './tpm/vtpm.ts';

/** What vouches for this agent: report provider, vTPM and DICE chain, and the claims that they bind. */
export class Platform implements PlatformPort {
  /** Null without a TPM: in process mode, and on a host that provides none. */
  readonly vtpm: Vtpm | null;
  private readonly mode: AgentConfig['mode'];
  private readonly transport: Transport;
  private readonly identity: AgentIdentity;
  private provider: ReportProvider | null = null;
  private chain: GuestChain | null = null;
  private chainOpened: Promise<void> | null = null;
  private manifestMeasured: Promise<void> | null = null;

  constructor(mode: AgentConfig['mode'], transport: Transport, vtpm: Vtpm | null, identity: AgentIdentity) {
    this.mode = mode;
    this.transport = transport;
    this.vtpm = vtpm;
    this.identity = identity;
  }

  /** Finds the report provider. */
  async detect(): Promise<void> {
    this.provider = await findReportProvider(this.transport);
  }

  get reportProvider(): ReportProvider {
    if (this.provider === null) {
      throw new CocosError('EVIDENCE_UNAVAILABLE', 'The agent has not detected its platform yet; try again.');
    }
    return this.provider;
  }

  get dice(): GuestChain | null {
    return this.chain;
  }

  openChain(): Promise<void> {
    this.chainOpened ??= this.makeChain().catch((thrown: unknown) => {
      // The host may have been unreachable; the next caller tries again.
      this.chainOpened = null;
      throw thrown;
    });
    return this.chainOpened;
  }

  /** Extends vTPM and DICE chain with a manifest. Must complete before any part of the manifest is used. */
  async measureManifest(manifest: Manifest, digest: string): Promise<void> {
    // A concurrent delivery waits for the first one: whichever manifest is accepted has been measured.
    this.manifestMeasured ??= this.measureOnce(manifest, digest);
    await this.manifestMeasured;
  }

  claims(manifestDigest: string | null): Uint8Array {
    const tpmAk = this.vtpm?.publicArea;
    const others = {
      ...(tpmAk === undefined ? {} : { tpmAk }),
      ...(this.chain === null ? {} : { diceLeaf: this.chain.leafDigest, diceRoot: this.chain.rootDigest }),
    };
    return encodeClaims(claimsOf(this.identity, this.reportProvider.platform, manifestDigest, others));
  }

  private async measureOnce(manifest: Manifest, digest: string): Promise<void> {
    try {
      await this.openChain();
    } catch (thrown) {
      this.manifestMeasured = null;
      throw thrown;
    }
    await this.vtpm?.measure('cocosai:manifest', Buffer.from(canonicalJson(manifest), 'utf8'));
    this.chain?.enterComputation(digestFromText(digest));
  }

  private async makeChain(): Promise<void> {
    if (this.mode !== 'guest') return;
    this.chain = await openGuestChain(await this.reportProvider.secret(), GUEST_PROGRAM);
  }
}
