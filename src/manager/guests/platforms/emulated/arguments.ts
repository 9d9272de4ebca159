import { z } from 'zod';
import type { LaunchArguments } from '../launch-arguments.ts';

/** A guest whose memory nothing protects from the host. */
export const EmulatedProtection = z.strictObject({ kind: z.literal('emulated') });

export function emulatedArguments(): LaunchArguments {
  return { machine: '', objects: [], needsKvm: false };
}
