/**
 * Every request of a session and of a prune fails once, or all from there on do. No point is lost,
 * none is half there, and the next session works. `npm run sweep` tries every fault at every
 * request. The suite tries one fault at every sixth request, in turn. In a sealed repository
 * it is every ninth: the requests are nearly the same.
 */
import { deepStrictEqual } from 'node:assert';
import { describe, expect, test } from 'vitest';
import { blocks } from '../../helpers/bytes/images.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { writeKeyFile } from '../../helpers/keyFile.ts';
import { IS_LONG_FORM } from '../../helpers/longForm.ts';
import { ImageChain } from '../../helpers/s3/imageChain.ts';
import {
  REQUEST_FAULTS,
  type RequestFault,
  type RequestScenario,
  RequestSweep,
} from '../../helpers/s3/requestSweep.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const LIMIT_MS = 3_600_000;
const [FIRST, SECOND, THIRD, NEXT] = ['Aa0', 'Ba0', 'BCx', '0Dx'].map((letters) =>
  blocks(letters),
) as [Buffer, Buffer, Buffer, Buffer];
/** Several parts of an upload. */
const LARGE = noise(7, 20 * 1024 * 1024);

const temp = useTempFolder();
const s3 = useS3();

function sessionOf(title: string, before: readonly Buffer[], image: Buffer): RequestScenario {
  return {
    title,
    build: async (chain) => {
      for (const earlier of before) await chain.session(earlier);
    },
    run: async (chain) => await chain.session(image),
    check: async (chain) => {
      await chain.session(NEXT);
      await chain.check();
    },
  };
}

const SCENARIOS: readonly RequestScenario[] = [
  sessionOf('a full', [], FIRST),
  sessionOf('an increment', [FIRST, SECOND], THIRD),
  sessionOf('an increment of several parts', [FIRST], LARGE),
  {
    title: 'a prune',
    build: async (chain) => {
      for (const image of [FIRST, SECOND, THIRD]) await chain.session(image);
    },
    run: async (chain) => await chain.prune(2),
    check: async (chain, failure) => {
      const kept = chain.knownIds.slice(1);
      if (!failure) deepStrictEqual(await chain.pointIds(), kept);
      await chain.check(kept);
      const { pointId } = await chain.session(NEXT);
      await chain.prune(2);
      deepStrictEqual(await chain.pointIds(), [...kept.slice(1), pointId]);
      await chain.check([...kept.slice(1), pointId]);
    },
  },
];

/** All faults, or one of them at every `stride`-th request. */
function faultsAt(nth: number, stride: number): readonly RequestFault[] {
  if (IS_LONG_FORM) return REQUEST_FAULTS;
  return REQUEST_FAULTS.filter((_, k) => nth % stride === 0 && k === (nth / stride) % 5);
}

describe.each([
  ['open', 6],
  ['sealed', 9],
] as const)('a repository (%s)', (kind, stride) => {
  test.each(SCENARIOS)(
    '$title loses nothing, whichever request fails',
    async (scenario) => {
      const keyFile = temp.path('key');
      writeKeyFile(keyFile);
      const store = kind === 'sealed' ? { keyFile } : undefined;
      const base = new ImageChain({ repository: s3.repository, store }, temp.path());

      const figures = await new RequestSweep(s3, base, scenario).run((nth) =>
        faultsAt(nth, stride),
      );

      const { requests, tries, failedAtPassing, failedAtLasting, problems } = figures;
      console.log(
        `${scenario.title}, ${kind}: ${requests} requests, ${tries} faults tried, ${failedAtLasting} ended with a typed error, ${problems.length} lost`,
      );
      console.table(figures.kinds);
      for (const text of [...problems, ...failedAtPassing]) console.log(text);
      expect(problems).toEqual([]);
      expect(failedAtPassing).toEqual([]);
      expect(tries).toBeGreaterThanOrEqual(Math.floor(requests / stride) / 2);
      if (tries >= REQUEST_FAULTS.length) expect(failedAtLasting).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );
});
