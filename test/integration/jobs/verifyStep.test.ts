/** What the verify of a run leaves in the report of the run. */
import { expect, it } from 'vitest';
import { silentLogger } from '../../../src/core/log.ts';
import { verifyStep } from '../../../src/jobs/run/steps.ts';
import { Repository } from '../../../src/repository/repository.ts';
import { blocks } from '../../helpers/bytes/images.ts';
import { jobWith } from '../../helpers/jobs/runs.ts';
import { backUpState } from '../../helpers/repository/prunes.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();

it('has the messages of the verify', async () => {
  const place = temp.path('repo');
  await backUpState(temp, place, { a: blocks('A0c') });
  await using repository = await Repository.open(place);
  const folders = await repository.vmFolders();
  for (const { place: files } of folders) {
    const write = files.writeShared.bind(files);
    files.writeShared = async (fileName, content) => {
      if (fileName.startsWith('session-')) throw new Error('no space left');
      await write(fileName, content);
    };
  }

  const verify = await verifyStep({
    repository,
    folders,
    job: { ...jobWith(), verifySampleRatio: 1 },
    signal: new AbortController().signal,
    logger: silentLogger,
    onMessage: () => {},
  });

  expect(verify).toMatchObject({ outcome: 'ok', messages: [{ code: 'REPO-560', level: 'warn' }] });
});
