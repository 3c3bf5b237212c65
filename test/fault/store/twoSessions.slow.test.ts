/** Two processes want to back one VM up at the same moment: one gets the lock. */
import { EventEmitter, once } from 'node:events';
import { expect, test } from 'vitest';
import { EXIT_CODES } from '../../../src/core/errors.ts';
import { backupArgs, expectFailure, startCli } from '../../helpers/cli/cli.ts';
import { blocks } from '../../helpers/bytes/images.ts';
import { longOr } from '../../helpers/longForm.ts';
import { ImageChain } from '../../helpers/s3/imageChain.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();
const s3 = useS3();
const ROUNDS = longOr(10, 2);

test('one of two sessions of a VM stores a point, and the other is told who holds the lock', async () => {
  const chain = new ImageChain({ repository: s3.repository }, temp.path());
  await chain.session(blocks('Aa0'));

  for (let round = 0; round < ROUNDS; round++) {
    chain.prepare(blocks(['Ba0', 'BCx'][round % 2] ?? ''));
    const gate = new EventEmitter();
    let locks = 0;
    s3.proxy.arm(async ({ kind, key }) => {
      // Both requests for the lock reach the server at once.
      if (kind === 'PutObject' && key.endsWith('/lock')) {
        if (++locks === 2) gate.emit('both');
        else if (locks === 1) await once(gate, 'both');
      }
      // The winner stays at work until the other has ended.
      const isPublished = kind === 'PutObject' || kind === 'CompleteMultipartUpload';
      if (isPublished && /\.(vbk|vib)$/.test(key)) await firstEnd;
      return undefined;
    });
    const args = backupArgs(s3.repository, chain.imageFile, '--workers', '0');
    const running = [startCli(args), startCli(args)];
    const firstEnd = Promise.race(running.map(({ ended }) => ended));

    const loser = await firstEnd;
    const results = await Promise.all(running.map(({ ended }) => ended));

    expectFailure(loser, 'REPOSITORY_LOCKED', EXIT_CODES.repositoryLocked);
    expect(results.filter(({ exitCode }) => exitCode === 0)).toHaveLength(1);
    expect(await chain.pointIds()).toHaveLength(round + 2);
  }

  await chain.check();
  await s3.expectNoStrays();
});
