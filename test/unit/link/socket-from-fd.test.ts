import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';

/**
 * Runs in a separate process, which inherits a connected unix socket as descriptor 3. Like vsock, it has a family that
 * Node's TCP handle does not expect.
 */
const CHILD = `
import { socketFromFd } from './src/link/transport/socket-from-fd.ts';
const socket = socketFromFd(3);
socket.on('data', (chunk) => socket.write(chunk.toString().toUpperCase()));
`;

describe('socketFromFd', () => {
  it('drives a descriptor of another family than TCP', async () => {
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', CHILD], {
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    });
    const stream = child.stdio[3];
    if (stream === undefined || stream === null || !('write' in stream)) throw new Error('no fourth stream');
    stream.write('hello');
    const [answer] = await once(stream, 'data');
    expect(String(answer)).toBe('HELLO');
    stream.destroy();
    child.kill();
  });

  it('refuses a descriptor that is not open', async () => {
    const { socketFromFd } = await import('../../../src/link/transport/socket-from-fd.ts');
    expect(() => socketFromFd(9_999)).toThrowError(expect.objectContaining({ code: 'HOST_VSOCK_MISSING' }));
  });
});
