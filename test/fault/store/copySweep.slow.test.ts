/**
 * Every request of a copy into S3 fails once, or all from there on do. What is there is whole, and
 * the next copy completes it.
 */
import { expect, test } from 'vitest';
import { type ErrorCode, RepositoryError } from '../../../src/core/errors.ts';
import { copyPoints } from '../../../src/sessions/copy/copyPoints.ts';
import { blocks } from '../../helpers/bytes/images.ts';
import { IS_LONG_FORM } from '../../helpers/longForm.ts';
import { ImageChain } from '../../helpers/s3/imageChain.ts';
import { REQUEST_FAULTS, RequestSweep } from '../../helpers/s3/requestSweep.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const LIMIT_MS = 3_600_000;
const temp = useTempFolder();
const s3 = useS3();

test(
  'a copy loses nothing, whichever request fails',
  async () => {
    const source = new ImageChain({ repository: temp.path('repo') }, temp.path());
    for (const letters of ['Aa0', 'Ba0', 'BCx']) await source.session(blocks(letters));
    const from = source.place.repository;
    const copy = async (chain: ImageChain): Promise<void> => {
      const { failures } = await copyPoints({ from, to: chain.place.repository, workers: 0 });
      const [failure] = failures;
      if (failure) throw new RepositoryError(failure.code as ErrorCode, failure.message);
    };
    const sweep = new RequestSweep(s3, source.at({ repository: s3.repository }), {
      title: 'a copy',
      build: async () => {},
      run: copy,
      check: async (chain, failure) => {
        if (failure) await chain.check(await chain.pointIds());
        await copy(chain);
        await chain.check();
      },
    });

    const figures = await sweep.run((nth) =>
      IS_LONG_FORM
        ? REQUEST_FAULTS
        : REQUEST_FAULTS.filter((_, k) => nth % 4 === 0 && k === (nth / 4) % 5),
    );

    const { requests, tries, failedAtPassing, failedAtLasting, problems } = figures;
    console.log(
      `a copy: ${requests} requests, ${tries} faults tried, ${failedAtLasting} ended with a typed error, ${problems.length} lost`,
    );
    for (const text of [...problems, ...failedAtPassing]) console.log(text);
    expect(problems).toEqual([]);
    expect(failedAtPassing).toEqual([]);
    expect(failedAtLasting).toBeGreaterThan(0);
  },
  LIMIT_MS,
);
