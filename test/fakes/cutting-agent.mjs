// A stand-in for the agent's program in process mode: it starts the real one (named by the file beside it) and stands
// in its link to the manager alone, which it cuts at SIGUSR2, noting how many connections that were.
import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const { agent, cuts } = JSON.parse(readFileSync(`${fileURLToPath(import.meta.url)}.json`, 'utf8'));
const [LINK, REPORT, PARTICIPANTS] = [9000, 9001, 7002];
const outside = process.env.COCOS_SOCKETS;
const inside = path.join(outside, 'i');
mkdirSync(inside, { recursive: true });
const at = (folder, port) => path.join(folder, `${port}.sock`);
for (const [place, target] of [
  [at(inside, REPORT), at(outside, REPORT)],
  [at(outside, PARTICIPANTS), at(inside, PARTICIPANTS)],
]) {
  rmSync(place, { force: true });
  symlinkSync(target, place);
}

const open = new Set();
net
  .createServer((near) => {
    const far = net.connect({ path: at(outside, LINK) });
    const end = () => {
      near.destroy();
      far.destroy();
      open.delete(end);
    };
    for (const socket of [near, far]) socket.on('error', end).on('close', end);
    near.pipe(far);
    far.pipe(near);
    open.add(end);
  })
  .listen(at(inside, LINK));
process.on('SIGUSR2', () => {
  appendFileSync(cuts, `${open.size}\n`);
  for (const end of [...open]) end();
});

const child = spawn(process.execPath, [agent], {
  stdio: 'inherit',
  env: { ...process.env, COCOS_SOCKETS: inside },
});
child.once('exit', (code) => process.exit(code ?? 1));
process.once('SIGTERM', () => child.kill('SIGTERM'));
