/**
 * Preloaded into a process: kills it at file operation number KILL_AT below KILL_ROOT. A `writev`
 * stores 999 bytes first. With KILL_SIGNAL SIGSTOP it pauses it, and the operation follows when the
 * process goes on. With KILL_NAME only operations of this name count. Not TypeScript, since the
 * process starts as users start it.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const root = process.env.KILL_ROOT ?? '';
const killAt = Number(process.env.KILL_AT);
const signal = process.env.KILL_SIGNAL ?? 'SIGKILL';
const onlyName = process.env.KILL_NAME;
const handles = new WeakSet();
let count = 0;

async function dieIfItIsTime(name, half) {
  if (onlyName !== undefined && name !== onlyName) return;
  if (++count !== killAt) return;
  if (signal === 'SIGSTOP') {
    process.kill(process.pid, signal);
    return;
  }
  await half?.().catch(() => {});
  process.kill(process.pid, signal);
  // The signal takes a moment to arrive. No work may go on until then.
  await new Promise(() => {});
}

for (const name of ['link', 'mkdir', 'open', 'readFile', 'readdir', 'rename', 'rm', 'writeFile']) {
  const original = fs.promises[name];
  fs.promises[name] = async (...args) => {
    const isOurs = args.slice(0, 2).some((arg) => typeof arg === 'string' && arg.startsWith(root));
    if (isOurs) await dieIfItIsTime(name);
    const result = await original(...args);
    if (isOurs && name === 'open') handles.add(result);
    return result;
  };
}

const probe = await fs.promises.open('/dev/null', 'r');
const prototype = Object.getPrototypeOf(probe);
await probe.close();
for (const name of ['datasync', 'read', 'sync', 'truncate', 'write', 'writeFile', 'writev']) {
  const original = prototype[name];
  prototype[name] = async function (...args) {
    const half =
      name === 'writev'
        ? () => this.write(args[0][0].subarray(0, 999), 0, 999, args[1])
        : undefined;
    if (handles.has(this)) await dieIfItIsTime(name, half);
    return await original.apply(this, args);
  };
}
syncBuiltinESMExports();
