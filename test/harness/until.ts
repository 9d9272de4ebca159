interface Patience {
  readonly limitMs: number;
  readonly everyMs: number;
}

/** Looks again and again until it is so. Throws, saying for what it waited, after the limit. */
export async function until(
  what: string,
  check: () => boolean | Promise<boolean>,
  { limitMs, everyMs }: Patience,
): Promise<void> {
  const limit = Date.now() + limitMs;
  while (!(await check())) {
    if (Date.now() > limit) throw new Error(`waited too long for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
