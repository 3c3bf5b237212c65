/** A socket that stands in for systemd. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';

/** Prints each datagram as a line of JSON. Node has no such sockets. */
const RECEIVER = `
import json, socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind(sys.argv[1])
print("ready", flush=True)
while True:
    print(json.dumps(server.recv(4096).decode()), flush=True)
`;

const missing = ['systemd-notify', 'python3'].find(
  (program) => spawnSync(program, ['--version']).error !== undefined,
);
/** Why tests of it are skipped; '' when they run. */
export const without: string = missing === undefined ? '' : ` (skipped: there is no ${missing})`;

export interface Receiver {
  readonly socket: string;
  readonly texts: string[];
}

/** Receives until the test ends. */
export async function startReceiver(socket: string): Promise<Receiver> {
  const child = spawn('python3', ['-c', RECEIVER, socket], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const texts: string[] = [];
  const lines = createInterface(child.stdout);
  await once(lines, 'line');
  lines.on('line', (line) => texts.push(JSON.parse(line) as string));
  return { socket, texts };
}
