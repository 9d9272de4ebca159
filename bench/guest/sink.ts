import { Server, ServerCredentials } from '@grpc/grpc-js';
import { aeadOpen, aeadSeal } from '../../src/crypto/aead.ts';
import { createDigest } from '../../src/crypto/digest.ts';
import { PORTS } from '../../src/link/transport/transport.ts';
import { listenVsock } from '../../src/link/transport/vsock.ts';
import { CHANNEL_OPTIONS, CHUNK } from '../transfer/protocol.ts';
import { addSink } from '../transfer/sink-service.ts';

/** The sink in a guest, at the port where an agent serves participants. First it says what opening and hashing cost here. */
const ROUNDS = 32;
const [key, nonce, aad] = [new Uint8Array(32), new Uint8Array(12), new Uint8Array(0)];
const sealed = aeadSeal('chacha20-poly1305', key, nonce, aad, new Uint8Array(CHUNK));
const opened = new Uint8Array(CHUNK);
const digest = createDigest();
const begin = performance.now();
for (let round = 0; round < ROUNDS; round++) {
  digest.update(aeadOpen('chacha20-poly1305', key, nonce, aad, sealed, opened));
}
console.log(`COCOS-BENCH-CRYPTO ${((ROUNDS * CHUNK) / 1000 / (performance.now() - begin)).toFixed(1)}`);

const server = new Server(CHANNEL_OPTIONS);
addSink(server);
const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
listenVsock(PORTS.participants, (socket) => injector.injectConnection(socket));
