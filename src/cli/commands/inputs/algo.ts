import { ALGORITHM_INPUT } from '../../../machines/manifest.ts';
import type { CommandContext } from '../../command-context.ts';
import { type SendOptions, sendInput } from './send-input.ts';

export function run(
  context: CommandContext,
  options: SendOptions,
  enclave: string,
  file: string,
): Promise<void> {
  return sendInput(context, options, { enclave, input: ALGORITHM_INPUT, file });
}
