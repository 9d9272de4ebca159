// A stand-in for the agent's program in process mode: it starts the real one (named by the file beside it) on
// sockets of its own, and passes everything between the two sets of sockets on while it writes it down.
import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const { agent, capture } = JSON.parse(readFileSync(`${fileURLToPath(import.meta.url)}.json`, 'utf8'));
const outside = process.env.COCOS_SOCKETS;
const inside = path.join(outside, 'i');
mkdirSync(inside, { recursive: true });
mkdirSync(capture, { recursive: true });

let count = 0;
function join(from, to, port) {
  const file = path.join(capture, `${port}-${++count}`);
  const pass = (source, sink, direction) => {
    source.on('data', (chunk) => {
      appendFileSync(`${file}-${direction}`, chunk);
      sink.write(chunk);
    });
    source.on('close', () => sink.destroy());
    source.on('error', () => sink.destroy());
  };
  pass(from, to, 'out');
  pass(to, from, 'in');
}

function listen(file, target, port) {
  net.createServer((socket) => join(socket, net.connect({ path: target }), port)).listen(file);
}

const at = (folder, port) => path.join(folder, `${port}.sock`);
for (const port of [9000, 9001]) listen(at(inside, port), at(outside, port), port);
listen(at(outside, 7002), at(inside, 7002), 7002);

const child = spawn(process.execPath, [agent], {
  stdio: 'inherit',
  env: { ...process.env, COCOS_SOCKETS: inside },
});
child.once('exit', (code) => process.exit(code ?? 1));
process.once('SIGTERM', () => child.kill('SIGTERM'));
