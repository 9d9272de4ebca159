/** Steps of the demo: each is announced, timed, and ends up in the closing table. */
export class Steps {
  private readonly rows: { name: string; seconds: number; outcome: string }[] = [];

  async run<T>(name: string, act: () => Promise<{ outcome: string; value: T }>): Promise<T> {
    console.log(`\n── ${name}`);
    const begin = performance.now();
    const { outcome, value } = await act();
    this.rows.push({ name, seconds: (performance.now() - begin) / 1000, outcome });
    console.log(`   ${outcome}`);
    return value;
  }

  table(): string {
    const width = Math.max(...this.rows.map((row) => row.name.length));
    const lines = this.rows.map(
      (row) => `${row.name.padEnd(width)}  ${row.seconds.toFixed(1).padStart(6)} s  ${row.outcome}`,
    );
    const total = this.rows.reduce((sum, row) => sum + row.seconds, 0);
    return [...lines, `${'all steps'.padEnd(width)}  ${total.toFixed(1).padStart(6)} s`].join('\n');
  }
}

export const indent = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => `   ${line}`)
    .join('\n');
