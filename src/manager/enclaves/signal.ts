/** A value that is set once and can be awaited before that. */
export class Signal<T> {
  private resolve: (value: T) => void = () => undefined;
  private readonly promise = new Promise<T>((resolve) => {
    this.resolve = resolve;
  });

  set(value: T): void {
    this.resolve(value);
  }

  get(): Promise<T> {
    return this.promise;
  }
}
