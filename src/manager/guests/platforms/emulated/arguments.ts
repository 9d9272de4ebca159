import type { LaunchArguments } from '../launch-arguments.ts';

/** A guest whose memory nothing protects from the host. */
export interface EmulatedProtection {
  readonly kind: 'none';
}

export function emulatedArguments(): LaunchArguments {
  return { machine: '', objects: [], needsKvm: false };
}
