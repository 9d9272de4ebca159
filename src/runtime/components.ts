import { CocosError } from '../errors.ts';

interface Component {
  readonly name: string;
  readonly stop: () => Promise<void>;
}

/** The parts of a process that were started, to be stopped in reverse order. */
export class Components {
  private readonly started: Component[] = [];

  add(name: string, stop: () => Promise<void>): void {
    this.started.push({ name, stop });
  }

  /**
   * Stops every component, the last one first, whatever becomes of the others. A component is stopped once, also when
   * this is called again.
   *
   * @param onFailure is called for each component that could not be stopped.
   */
  async stopAll(onFailure: (name: string, error: CocosError) => void): Promise<void> {
    for (let component = this.started.pop(); component !== undefined; component = this.started.pop()) {
      try {
        await component.stop();
      } catch (thrown) {
        onFailure(component.name, CocosError.from(thrown));
      }
    }
  }
}
