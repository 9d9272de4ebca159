import type { Dial } from '../../link/transport/transport.ts';
import type { Cause } from '../../machines/common.ts';
import type { RelayPlace } from './relay.ts';

/** Messages between the manager and its relay thread, which belong to one program. */

export type RelayCommand =
  /** `dial` is null until the guest runs. */
  | { readonly type: 'open'; readonly id: number; readonly at: RelayPlace; readonly dial: Dial | null }
  | { readonly type: 'route'; readonly id: number; readonly dial: Dial }
  | { readonly type: 'close'; readonly id: number };

export type RelayEvent =
  | { readonly type: 'opened'; readonly id: number; readonly address: string }
  | { readonly type: 'failed'; readonly id: number; readonly cause: Cause }
  /** A command to route or to close was carried out. */
  | { readonly type: 'done'; readonly id: number };
