/**
 * Parameters of the guest kernel, all measured:
 * - `panic=-1` ends the guest at once, since QEMU runs with -no-reboot;
 * - the CPU's random numbers count as entropy, a seed from the host's loader does not;
 * - the ACPI tables of eos/acpi-fence/ name no windows of the PCI bus: devices stay where the firmware put them;
 * - lockdown keeps even root in the guest from changing or reading the running kernel.
 */
const PARAMETERS = [
  'console=ttyS0',
  'quiet',
  'panic=-1',
  'random.trust_cpu=on',
  'random.trust_bootloader=off',
  'pci=nocrs',
  'lockdown=confidentiality',
];

/** The command line of a root image: one line without a line feed. */
export function commandLineFor(root: { readonly rootHash: Uint8Array; readonly dataBlocks: number }): string {
  const hash = Buffer.from(root.rootHash).toString('hex');
  return [...PARAMETERS, `cocos.roothash=${hash}`, `cocos.rootblocks=${root.dataBlocks}`].join(' ');
}
