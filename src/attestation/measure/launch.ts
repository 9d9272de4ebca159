import { concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import type { AttestationHashes } from '../../crypto/crypto-port.ts';
import type { LaunchLog, ProcessLaunchLog } from '../evidence/launch-log.ts';
import { measureVm } from './snp.ts';

/**
 * Measurement of a process enclave, which exists only in software: SHA-384 over a domain, the two digests of fixed size
 * and, last, the command line. The domain separates it from SNP launch digests.
 */
function measureProcess(log: ProcessLaunchLog, hashes: AttestationHashes): Uint8Array {
  const domain = utf8ToBytes('cocosai process launch v1\0');
  const parts = [domain, hexToBytes(log.runtime), hexToBytes(log.agent), utf8ToBytes(log.commandLine)];
  return hashes.sha384(concatBytes(...parts));
}

/**
 * The 48-byte measurement of the launch that `log` describes.
 *
 * @throws CocosError MEASURE_UNSUPPORTED
 */
export function measureLaunch(log: LaunchLog, hashes: AttestationHashes): Uint8Array {
  return log.kind === 'vm' ? measureVm(log, hashes) : measureProcess(log, hashes);
}
