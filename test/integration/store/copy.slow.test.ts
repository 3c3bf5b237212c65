/** Points copied between a folder and S3, open and sealed: each restores to the byte there. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { copyPoints } from '../../../src/sessions/copy/copyPoints.ts';
import { blocks } from '../../helpers/bytes/images.ts';
import { runCli } from '../../helpers/cli/cli.ts';
import { writeKeyFile } from '../../helpers/keyFile.ts';
import { VM } from '../../helpers/repository/imageSessions.ts';
import { containersOf, vmFolderOf } from '../../helpers/repository/repositoryFiles.ts';
import { ImageChain } from '../../helpers/s3/imageChain.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();
const s3 = useS3();
let chain: ImageChain;
beforeEach(async () => {
  writeKeyFile(temp.path('key'));
  chain = new ImageChain({ repository: temp.path('repo') }, temp.path());
  for (const letters of ['Aa0', 'Ba0', 'BCx']) await chain.session(blocks(letters));
});

it('copies a chain from a folder into a sealed repository in S3, and back', async () => {
  const sealed = chain.at({ repository: s3.repository, store: { keyFile: temp.path('key') } });
  const back = chain.at({ repository: temp.path('back') });

  const common = { verify: true, workers: 0 };
  const { repository: from } = chain.place;
  const { repository: to } = back.place;
  const there = await copyPoints({
    ...common,
    from,
    to: s3.repository,
    toStore: sealed.place.store,
  });
  const here = await copyPoints({
    ...common,
    from: s3.repository,
    fromStore: sealed.place.store,
    to,
  });

  expect([there.failures, here.failures]).toEqual([[], []]);

  await sealed.check();
  await back.check();
  expect(await back.pointIds()).toEqual(chain.knownIds);
  await s3.expectNoStrays();
});

it('copies what is missing, by the command', async () => {
  const { repository } = chain.place;
  const args = ['copy', '--from', repository, '--to', s3.repository, '--vm', VM, '--missing'];
  args.push('--workers', '0');
  const first = await runCli(args);
  expect(first.exitCode, first.stderr).toBe(0);
  const there = chain.at({ repository: s3.repository });
  await there.check();
  await chain.session(blocks('0Dx'));
  s3.proxy.arm();

  const second = await runCli(args);

  expect(second.exitCode, second.stderr).toBe(0);
  await chain.at({ repository: s3.repository }).check();
  const stored = s3.proxy.requests.filter(
    ({ kind, key }) => kind === 'PutObject' && /\.(vbk|vib)$/.test(key),
  );
  expect(stored).toHaveLength(1);
  await s3.expectNoStrays();
});

it('deletes a copy that is damaged at the target, and builds nothing on it', async () => {
  const { repository: from } = chain.place;
  const copy = chain.at({ repository: temp.path('copy') });
  const { repository: to } = copy.place;
  let isDamaged = false;
  const options = { from, to, verify: true, workers: 0 };
  const report = await copyPoints({
    ...options,
    onProgress: (event) => {
      if (isDamaged || event.type !== 'phase' || event.phase !== 'verifying') return;
      isDamaged = true;
      damageContainer(to);
    },
  });

  const [first = '', ...later] = chain.knownIds;
  expect(report.vms[0]?.failed).toMatchObject([{ pointId: first, code: 'INTEGRITY_DAMAGE_FOUND' }]);
  await copy.check(later);
  expect(await copy.pointIds()).toEqual(later);

  const again = await copyPoints(options);

  expect(again.vms[0]).toMatchObject({ presentCount: 2, copied: [{ pointId: first }], failed: [] });
  await copy.check();
});

/** Changes a byte of the first block of the only container of a repository. */
function damageContainer(repository: string): void {
  const [name = ''] = containersOf(repository);
  const file = path.join(vmFolderOf(repository), name);
  const bytes = readFileSync(file);
  const at = 1_052_672 + 100;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file, bytes);
}
