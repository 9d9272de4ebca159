import { describe, expect, it } from 'vitest';
import { qemuArgs } from '../../../../src/manager/guests/vm/qemu-args.ts';
import type { VmConfig } from '../../../../src/manager/guests/vm/vm-config.ts';

const CONFIG: VmConfig = {
  name: 'enclave-1',
  accelerator: 'tcg',
  vcpuType: 'EPYC-v3',
  vcpus: 2,
  memoryMiB: 512,
  protection: { kind: 'emulated' },
  boot: { kind: 'direct', firmware: '/i/bios', kernel: '/i/k', initrd: '/i/r', commandLine: 'a=1 b' },
  rootImage: '/i/root',
  vsock: { kind: 'daemon', socketPath: '/s/vhost.sock' },
  scratchPath: null,
  tpmPath: null,
  qmpPath: '/s/qmp.sock',
  consolePath: '/s/console',
};

const valuesOf = (args: string[], name: string): string[] => args.filter((_, i) => args[i - 1] === name);

describe('qemuArgs', () => {
  it('gives the guest no network device and no default devices', () => {
    const args = qemuArgs(CONFIG);
    expect(args).toContain('-nodefaults');
    expect(args).toContain('-no-user-config');
    expect(valuesOf(args, '-nic')).toEqual(['none']);
    expect(args.filter((arg) => /netdev|virtio-net|e1000|vfio/.test(arg))).toEqual([]);
    expect(valuesOf(args, '-device')).toEqual([
      'virtio-blk-pci,drive=root',
      'vhost-user-vsock-pci,chardev=vsock',
    ]);
  });

  it('gives the root image read-only', () => {
    expect(valuesOf(qemuArgs(CONFIG), '-blockdev')[0]).toContain('read-only=on');
  });

  it('passes the command line as one argument', () => {
    expect(valuesOf(qemuArgs(CONFIG), '-append')).toEqual(['a=1 b']);
  });

  it('doubles commas in paths, so that a path cannot add options', () => {
    const args = qemuArgs({ ...CONFIG, consolePath: '/s/x,path=/etc/passwd' });
    expect(valuesOf(args, '-chardev')).toContain('file,id=console,append=on,path=/s/x,,path=/etc/passwd');
  });

  it.each([
    { name: 'a,b' },
    { name: '-S' },
    { vcpuType: 'EPYC,+x' },
    { vcpus: 0 },
    { vcpus: 9 },
    { vcpus: 1.5 },
    { memoryMiB: 64 },
    { protection: { kind: 'sev-snp', policy: 0x30000, cbitPosition: 51, reducedPhysBits: 1 } as const },
  ])('refuses %j', (change) => {
    expect(() => qemuArgs({ ...CONFIG, ...change })).toThrowError(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    );
  });

  it('starts an SNP guest with kernel hashes and the manifest digest in HOST_DATA', () => {
    const hostData = Buffer.alloc(32, 0xab).toString('base64');
    const protection = {
      kind: 'sev-snp',
      policy: 0x30000,
      cbitPosition: 51,
      reducedPhysBits: 1,
      hostData,
    } as const;
    const args = qemuArgs({ ...CONFIG, accelerator: 'kvm', protection });
    const [object] = valuesOf(args, '-object').filter((value) => value.startsWith('sev-snp-guest'));
    expect(object?.split(',')).toEqual(
      expect.arrayContaining(['kernel-hashes=on', 'policy=0x30000', 'cbitpos=51', `host-data=${hostData}`]),
    );
    expect(valuesOf(args, '-machine')[0]).toContain('confidential-guest-support=tee');
  });

  it('refuses launch data of another length than the hardware takes', () => {
    const protection = {
      kind: 'tdx',
      configId: Buffer.alloc(32).toString('base64'),
      quoteService: { vsockPort: 4050 },
    } as const;
    expect(() => qemuArgs({ ...CONFIG, accelerator: 'kvm', protection })).toThrowError(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    );
  });
});
