import { type Finding, met, unmet } from './finding.ts';
import type { DeviceAccess, HostFacts } from './host-facts.ts';

/** What every platform of hardware needs of the host. */

/** A device file that this process must be able to use, with what helps where it is denied or missing. */
export function hasDevice(
  access: DeviceAccess,
  { need, file, denied, missing }: { need: string; file: string; denied: string; missing: string },
): Finding {
  switch (access) {
    case 'usable':
      return met(need, `${file} can be opened`);
    case 'denied':
      return unmet(need, `${file} cannot be opened`, denied);
    case 'missing':
      return unmet(need, `there is no ${file}`, missing);
  }
}

export function hasKvm({ kvm }: HostFacts): Finding {
  return hasDevice(kvm, {
    ...{ need: 'KVM', file: '/dev/kvm' },
    denied: 'Add the user of the manager to the group kvm.',
    missing: 'Enable virtualization in the BIOS and load the module kvm.',
  });
}

/** QEMU makes a protected guest's devices use bounce buffers, which vhost-device-vsock cannot. */
export function hasKernelVsock({ kernelVsock }: HostFacts): Finding {
  return hasDevice(kernelVsock, {
    ...{ need: "the kernel's vsock device", file: '/dev/vhost-vsock' },
    denied: 'Give the user of the manager access to /dev/vhost-vsock.',
    missing: 'Load the module: modprobe vhost_vsock.',
  });
}

export function hasFirmware({ imageFiles }: HostFacts, name: string): Finding {
  const need = `the firmware ${name} in the image folder`;
  return imageFiles.has(name)
    ? met(need, 'it is there')
    : unmet(need, 'it is not there', 'Build the image with: npm run eos, or set COCOSAI_EOS_DIR.');
}

export function hasTeeObject(
  { qemu }: HostFacts,
  object: string,
  [major, minor]: readonly [number, number],
): Finding {
  const need = `QEMU from ${major}.${minor} on with ${object}`;
  const remedy = 'Install a newer QEMU, from Debian backports for instance, and put it first on PATH.';
  if (qemu.program === null) return unmet(need, 'there is no QEMU on PATH', 'Install qemu-system-x86.');
  if (qemu.version === null)
    return unmet(need, `${qemu.program} did not answer`, `Check that it starts: ${qemu.program} --version.`);
  const found = `${qemu.program} is ${qemu.version.join('.')}`;
  const isOld = qemu.version[0] < major || (qemu.version[0] === major && qemu.version[1] < minor);
  if (isOld) return unmet(need, found, remedy);
  return qemu.teeObjects.has(object)
    ? met(need, found)
    : unmet(need, `${found} and has no ${object}`, remedy);
}
