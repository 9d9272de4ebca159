import { z } from 'zod';

/** Schema of a duration: a setting in seconds, parsed to milliseconds. */
export function seconds(defaultMs: number) {
  return z.coerce
    .number()
    .min(0.1)
    .max(86_400)
    .default(defaultMs / 1_000)
    .transform((value) => Math.round(value * 1_000));
}
