import { type Finding, met, unmet } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

/** What every platform of hardware needs of the host. */

export function hasKvm({ kvm }: HostFacts): Finding {
  const need = 'KVM';
  switch (kvm) {
    case 'usable':
      return met(need, '/dev/kvm can be opened');
    case 'denied':
      return unmet(need, '/dev/kvm cannot be opened', 'Add the user of the manager to the group kvm.');
    case 'missing':
      return unmet(
        need,
        'there is no /dev/kvm',
        'Enable virtualization in the BIOS and load the module kvm.',
      );
  }
}

/** QEMU makes a protected guest's devices use bounce buffers, which vhost-device-vsock cannot. */
export function hasKernelVsock({ kernelVsock }: HostFacts): Finding {
  const need = "the kernel's vsock device";
  switch (kernelVsock) {
    case 'usable':
      return met(need, '/dev/vhost-vsock can be opened');
    case 'denied':
      return unmet(
        need,
        '/dev/vhost-vsock cannot be opened',
        'Give the user of the manager access to /dev/vhost-vsock.',
      );
    case 'missing':
      return unmet(need, 'there is no /dev/vhost-vsock', 'Load the module: modprobe vhost_vsock.');
  }
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
