/** The soak with a fixed seed and few actions. `npm run soak` is the long form. */
import { expect, test } from 'vitest';
import { Soak } from '../soak/soak.ts';

const SEED = 20_261_126;
const ACTIONS = 15;
const LIMIT_MS = 600_000;

test(
  `${ACTIONS} random actions end with every point as it was frozen (seed ${SEED})`,
  async () => {
    const soak = await Soak.start(SEED);
    try {
      await soak.run({ seed: SEED, untilMs: Infinity, maxActions: ACTIONS });

      const { sessions, pointsRestored } = soak.figures;
      expect(sessions).toBeGreaterThan(2);
      expect(pointsRestored).toBeGreaterThan(2);
    } catch (error) {
      console.log(soak.log.join('\n'));
      throw error;
    } finally {
      await soak.close(false);
    }
  },
  LIMIT_MS,
);
