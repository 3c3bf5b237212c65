/**
 * Preloaded into the command line. At exit it writes the 99th percentile of the event loop's delay.
 */
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 5;
const NS_PER_MS = 1e6;

const target = process.env['BENCH_PROBE'];
if (target !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  process.on('exit', () => {
    const lateMs = Math.max(0, delay.percentile(99) / NS_PER_MS - RESOLUTION_MS);
    writeFileSync(target, lateMs.toFixed(3));
  });
}
