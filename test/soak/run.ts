/** A soak for a chosen time: `npm run soak -- --minutes N [--seed S]`. */
import { parseArgs } from 'node:util';
import { Soak, type SoakFigures } from './soak.ts';

const LAST_ACTIONS = 60;

function print(figures: SoakFigures, seed: number, minutes: number): void {
  const parts = Object.entries(figures).map(([name, count]) => `${name} ${String(count)}`);
  console.log(`soak: seed ${seed}, ${minutes} minutes: ${parts.join(', ')}`);
}

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '1' }, seed: { type: 'string' } },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed ?? Date.now() % 1_000_000_007);
const soak = await Soak.start(seed);
let hasFailed = false;
try {
  const untilMs = performance.now() + minutes * 60_000;
  await soak.run({ seed, untilMs, maxActions: Infinity });
} catch (error) {
  hasFailed = true;
  console.log(soak.log.slice(-LAST_ACTIONS).join('\n'));
  console.log(`soak failed: --seed ${seed}, in action ${soak.figures.actions}; see ${soak.folder}`);
  console.log(error);
} finally {
  await soak.close(hasFailed);
}
print(soak.figures, seed, minutes);
process.exitCode = hasFailed ? 1 : 0;
