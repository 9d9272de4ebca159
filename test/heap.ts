import v8 from 'node:v8';
import vm from 'node:vm';

v8.setFlagsFromString('--expose-gc');
const collect: unknown = vm.runInNewContext('gc');

/** Bytes of heap that are really held. */
export function heldHeap(): number {
  if (typeof collect !== 'function') throw new Error('the garbage collector cannot be asked');
  collect();
  return process.memoryUsage().heapUsed;
}
