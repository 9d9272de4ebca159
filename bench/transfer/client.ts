import { open } from 'node:fs/promises';
import { type Client, credentials, makeGenericClientConstructor } from '@grpc/grpc-js';
import { readKeys } from '../../src/cli/key-files.ts';
import { readManifest } from '../../src/cli/manifest-file.ts';
import { AgentClient } from '../../src/cli/transfer/agent-client.ts';
import { fetchResult } from '../../src/cli/transfer/result-fetch.ts';
import { upload } from '../../src/cli/transfer/upload.ts';
import { uploadSource } from '../../src/cli/transfer/upload-source.ts';
import { readTrust } from '../../src/cli/trust/trust.ts';
import { openTrustedSession } from '../../src/cli/trust/trusted-session.ts';
import { canonicalDigest, createDigest } from '../../src/crypto/digest.ts';
import { SegmentSealer, segmentCount } from '../../src/protocol/segments.ts';
import { CHANNEL_OPTIONS, CHUNK, SINK, type Task, tlsFiles } from './protocol.ts';

/** One transfer in a process of its own: what it took in seconds, processor seconds and memory, as one line of JSON. */
const task: Task = JSON.parse(process.argv[2] ?? '{}');
const work = await prepare(task);
const cpu = process.cpuUsage();
const begin = performance.now();
await work();
const seconds = (performance.now() - begin) / 1000;
const { user, system } = process.cpuUsage(cpu);
const peakMiB = process.resourceUsage().maxRSS / 1024;
console.log(JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6, peakMiB }));
process.exit(0);

async function prepare(task: Task): Promise<() => Promise<void>> {
  switch (task.kind) {
    case 'sealed upload':
    case 'sealed result': {
      const manifest = await readManifest(task.manifest);
      const { keys } = await readKeys(task.key, undefined);
      const trust = await readTrust({ policy: task.policy, reference: task.reference }, process.env);
      const agent = await AgentClient.open(task.relay, {});
      const role = task.kind === 'sealed upload' ? 'dataset' : 'consumer';
      const trusted = await openTrustedSession(agent, trust, manifest, keys, role);
      const { session, agentSigningKey, audit } = trusted;
      const common = { grpcOnly: task.grpcOnly, onProgress: () => undefined, onBroken: () => undefined };
      if (task.kind === 'sealed result') {
        const manifestDigest = canonicalDigest(manifest);
        const request = { ...common, file: task.file, keys, manifestDigest, agentSigningKey, audit };
        return async () => void (await fetchResult(session, request));
      }
      const source = await uploadSource(task.file);
      const { input } = task;
      const digest = manifest.datasets.find(({ name }) => name === input)?.digest ?? '';
      return async () => void (await upload(session, { ...common, input, source, digest }));
    }
    case 'crypto alone':
      return () => cryptoAlone(task.file);
    case 'plain upload':
      return () => plainUpload(task.target, task.tls, task.file);
    case 'plain download':
      return () => plainDownload(task.target, task.file, task.bytes);
  }
}

/** Read, hash and seal, in place. */
async function cryptoAlone(path: string): Promise<void> {
  const file = await open(path, 'r');
  const { size } = await file.stat();
  const hash = createDigest();
  const parameters = {
    key: new Uint8Array(32),
    aead: 'chacha20-poly1305',
    associatedData: new Uint8Array(0),
  } as const;
  const sealer = new SegmentSealer({ ...parameters, segmentSize: CHUNK });
  const memory = Buffer.allocUnsafeSlow(CHUNK + 16);
  const count = segmentCount(size, CHUNK);
  for (let index = 0; index < count; index++) {
    const { bytesRead } = await file.read(memory, 0, CHUNK, index * CHUNK);
    const plain = memory.subarray(0, bytesRead);
    hash.update(plain);
    sealer.seal(plain, index === count - 1, memory.subarray(0, bytesRead + 16));
  }
  hash.finish();
}

function sinkClient(target: string, tls: boolean): Client {
  const SinkClient = makeGenericClientConstructor(SINK, 'Sink');
  const secure = tls ? credentials.createSsl(tlsFiles().certificate) : credentials.createInsecure();
  const named = tls ? { 'grpc.ssl_target_name_override': 'localhost' } : {};
  return new SinkClient(target, secure, { ...CHANNEL_OPTIONS, ...named });
}

async function plainUpload(target: string, tls: boolean, path: string): Promise<void> {
  const client = sinkClient(target, tls);
  const file = await open(path, 'r');
  await new Promise<void>((resolve, reject) => {
    const call = client.makeClientStreamRequest(
      SINK.upload.path,
      SINK.upload.requestSerialize,
      SINK.upload.responseDeserialize,
      (error) => (error === null ? resolve() : reject(error)),
    );
    const send = async () => {
      for await (const chunk of file.createReadStream({ highWaterMark: CHUNK }) as AsyncIterable<Buffer>) {
        if (!call.write(chunk)) await new Promise<void>((drained) => call.once('drain', drained));
      }
      call.end();
    };
    send().catch(reject);
  });
}

async function plainDownload(target: string, path: string, bytes: number): Promise<void> {
  const file = await open(path, 'w');
  const call = sinkClient(target, false).makeServerStreamRequest(
    SINK.download.path,
    SINK.download.requestSerialize,
    SINK.download.responseDeserialize,
    Buffer.from(String(bytes)),
  );
  for await (const chunk of call as AsyncIterable<Buffer>) await file.write(chunk);
  await file.close();
}
