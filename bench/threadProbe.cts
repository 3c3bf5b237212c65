/**
 * Preloaded into each thread of a process. Writes "TID NAME" lines into a file: Node 20 does not
 * name its threads, and only a thread itself knows which kernel thread it is. CommonJS, because
 * loading an ES module would start libuv's threads before V8's own have been listed.
 */
const fs = process.getBuiltinModule('node:fs');
const path = process.getBuiltinModule('node:path');
const threads = process.getBuiltinModule('node:worker_threads');

const file = process.env['BENCH_THREADS'];

function tell(threadId: string, name: string): void {
  if (file !== undefined) fs.appendFileSync(file, `${threadId} ${name}\n`);
}

if (threads.isMainThread) {
  const main = String(process.pid);
  for (const thread of fs.readdirSync('/proc/self/task')) {
    tell(thread, thread === main ? 'main' : 'V8');
  }
} else {
  const thread = path.basename(fs.readlinkSync('/proc/thread-self'));
  // The entry of a worker thread is known when its own code has been loaded.
  setImmediate(() => tell(thread, `worker ${path.parse(process.argv[1] ?? '').name}`)).unref();
}
