import { launchVmGuest } from '../../src/manager/guests/vm/vm-guest.ts';
import { HOST_PORTS } from './ports.ts';
import { bootable, testImage } from './test-image.ts';

/** Starts a guest, waits until it is up, and dies as if killed. Argument: folder for sockets and console. */

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: launch-and-die FOLDER');
const image = testImage('eos-test');
const guest = await launchVmGuest({
  image: bootable({ ...image, commandLine: `${image.commandLine} cocos.test=vsock` }),
  vcpus: 1,
  vcpuType: 'EPYC-v3',
  memoryMiB: 512,
  accelerator: 'auto',
  socketDir: folder,
  logFile: `${folder}/console.log`,
  notice: () => undefined,
});
await guest.transport.listen(HOST_PORTS.ready, () => process.kill(process.pid, 'SIGKILL'));
