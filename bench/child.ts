/**
 * Entry of a child process that serves one module of the suite. Each message names a function and
 * its argument. Each answer has the value and the cost of the call. The process serves all calls of
 * a case, so its code is warm and its peak memory is that of the case.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { ChildAnswer, ChildCall } from './childProcess.ts';

const RESOLUTION_MS = 5;
const NS_PER_MS = 1e6;

type Exported = Readonly<Record<string, (argument: unknown) => Promise<unknown>>>;

const served = (await import(process.argv[2] ?? '')) as Exported;

async function answer({ name, argument }: ChildCall): Promise<ChildAnswer> {
  const work = served[name];
  if (!work) throw new Error(`there is no ${name}`);
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const before = process.cpuUsage();
  const startedAtMs = performance.now();
  delay.enable();
  const value = await work(argument);
  delay.disable();
  const seconds = (performance.now() - startedAtMs) / 1000;
  const { user, system } = process.cpuUsage(before);
  return {
    value,
    seconds,
    cpuSeconds: (user + system) / 1e6,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    // The histogram holds whole intervals between samples. The resolution is no delay.
    loopDelayMs: Math.max(0, delay.percentile(99) / NS_PER_MS - RESOLUTION_MS),
  };
}

process.on('message', (call: ChildCall) => {
  answer(call).then(
    (result) => process.send?.(result),
    (error: Error) => process.send?.({ error: error.stack ?? error.message }),
  );
});
// Without this, worker threads of the module would keep the process alive.
process.on('disconnect', () => process.exit());
process.send?.('ready');
