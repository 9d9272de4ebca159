import type { Dial } from '../../link/transport/transport.ts';
import type { Cause } from '../../machines/common.ts';
import type { GatewayPlace } from './gateway.ts';
import type { RelayPlace } from './relay.ts';

/** Messages between the manager and its relay thread, which belong to one program. */

export type RelayCommand =
  /** `dial` is null until the guest runs. */
  | { readonly type: 'open'; readonly id: number; readonly at: RelayPlace; readonly dial: Dial | null }
  | { readonly type: 'route'; readonly id: number; readonly dial: Dial }
  | { readonly type: 'close'; readonly id: number }
  /** Opens the gateway, which is one of the relays. */
  | { readonly type: 'serve'; readonly id: number; readonly at: GatewayPlace }
  /** Where the gateway finds an enclave; null for one that is gone. */
  | { readonly type: 'enroll'; readonly enclave: string; readonly dial: Dial | null };

export type RelayEvent =
  | { readonly type: 'opened'; readonly id: number; readonly address: string }
  | { readonly type: 'failed'; readonly id: number; readonly cause: Cause }
  /** A command to route or to close was carried out. */
  | { readonly type: 'done'; readonly id: number };
