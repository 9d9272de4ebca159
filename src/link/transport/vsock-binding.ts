import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { CocosError } from '../../errors.ts';

/** The native object. It owns one AF_VSOCK descriptor, which it shuts down and closes on garbage collection. */
export interface NativeVsock {
  connect(cid: number, port: number): void;
  listen(port: number): void;
  close(): void;
  setMaxConnectionAttempts(count: number): void;
}

type Emit = (...args: unknown[]) => void;
type NativeVsockClass = new (emit: Emit) => NativeVsock;

/** Events of the native object, parsed from its callback arguments. */
export type VsockEvent =
  | { readonly kind: 'connected' }
  | { readonly kind: 'accepted'; readonly fd: number }
  | { readonly kind: 'failed'; readonly message: string };

const ADDON_BESIDE_BUNDLE = './node-vsock.linux-x64-gnu.node';
const ADDON_PACKAGE = 'node-vsock-linux-x64-gnu';

let loaded: NativeVsockClass | undefined;

/** Loads the addon at first use, so that hosts without it run everything else. */
function nativeClass(): NativeVsockClass {
  if (loaded !== undefined) return loaded;
  const require = createRequire(import.meta.url);
  const isBundled = existsSync(new URL(ADDON_BESIDE_BUNDLE, import.meta.url));
  try {
    const addon: unknown = require(isBundled ? ADDON_BESIDE_BUNDLE : ADDON_PACKAGE);
    if (!isAddon(addon)) throw new Error('the addon exports no VsockSocket');
    loaded = addon.VsockSocket;
    return loaded;
  } catch (cause) {
    throw new CocosError(
      'HOST_VSOCK_MISSING',
      'The vsock addon cannot be loaded; it needs Linux on x86-64.',
      {
        cause,
      },
    );
  }
}

function isAddon(value: unknown): value is { VsockSocket: NativeVsockClass } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'VsockSocket' in value &&
    typeof value.VsockSocket === 'function'
  );
}

/**
 * Creates an AF_VSOCK socket whose events go to `onEvent`.
 *
 * @throws CocosError HOST_VSOCK_MISSING without the addon or the kernel's vsock support
 */
export function openNative(onEvent: (event: VsockEvent) => void): NativeVsock {
  const Native = nativeClass();
  try {
    return new Native((...args) => {
      const event = parseEvent(args);
      if (event !== null) onEvent(event);
    });
  } catch (cause) {
    throw new CocosError(
      'HOST_VSOCK_MISSING',
      "The kernel provides no vsock sockets; load the module 'vsock'.",
      { cause },
    );
  }
}

/** Events of its threads have the arguments (null, name, value), those of its methods (name). */
function parseEvent(args: unknown[]): VsockEvent | null {
  const [name, value] = args[0] === null ? args.slice(1) : args;
  if (name === '_connect') return { kind: 'connected' };
  if (name === '_connection' && typeof value === 'number') return { kind: 'accepted', fd: value };
  if (name === '_error')
    return { kind: 'failed', message: value instanceof Error ? value.message : String(value) };
  if (args[0] instanceof Error) return { kind: 'failed', message: args[0].message };
  return null;
}
