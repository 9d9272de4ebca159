import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { predictLaunch } from '../../src/cli/trust/eos-image.ts';
import { testImage, whyNoGuests } from '../guest/test-image.ts';
import { snpDigestTool } from '../independent/snp-digest-tool.ts';

const unable = whyNoGuests();
const tool = unable === null ? snpDigestTool() : { reason: unable };
const why = 'reason' in tool ? ` (skipped: ${tool.reason})` : '';

describe.skipIf(why !== '')(`the SNP launch digest of the image, by an independent tool${why}`, () => {
  let image: string;
  let scratch: string;

  beforeAll(() => {
    image = dirname(testImage('eos').kernel);
    scratch = mkdtempSync(join(tmpdir(), 'cocos-d-'));
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  function digestOf(folder: string, vcpus: number, vcpuType: string): string {
    const at = (name: string): string => join(folder, name);
    const files = [
      at('ovmf-amdsev.fd'),
      at('vmlinuz'),
      at('initrd.img'),
      readFileSync(at('cmdline'), 'utf8'),
    ];
    const program = 'program' in tool ? tool.program : '';
    const { status, stdout, stderr } = spawnSync(program, [String(vcpus), vcpuType, ...files], {
      encoding: 'utf8',
    });
    expect(status, stderr).toBe(0);
    return stdout.trim();
  }

  it.each([
    [1, 'EPYC-v3'],
    [2, 'EPYC-v4'],
    [4, 'EPYC-Rome'],
    [8, 'EPYC-Milan'],
    [64, 'EPYC-Genoa'],
  ])('is what `eos predict` says, with %i vCPUs of the type %s', async (vcpus, vcpuType) => {
    const predicted = await predictLaunch(image, 'ovmf-amdsev.fd', { vcpus, vcpuType });
    expect(predicted).toBe(digestOf(image, vcpus, vcpuType));
  });

  it.each(['ovmf-amdsev.fd', 'vmlinuz', 'initrd.img', 'cmdline'])('follows a byte of %s', async (file) => {
    const folder = join(scratch, file);
    cpSync(image, folder, { recursive: true });
    const bytes = readFileSync(join(folder, file));
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    writeFileSync(join(folder, file), bytes);
    const shape = { vcpus: 1, vcpuType: 'EPYC-v3' };
    const predicted = await predictLaunch(folder, 'ovmf-amdsev.fd', shape);
    expect(predicted).toBe(digestOf(folder, 1, 'EPYC-v3'));
    expect(predicted).not.toBe(await predictLaunch(image, 'ovmf-amdsev.fd', shape));
  });
});
