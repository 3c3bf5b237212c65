/** A named pipe in the place of a file of a repository holds nobody. */
import { execFileSync } from 'node:child_process';
import { symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { listRunReports, saveRunReport } from '../../../src/jobs/runReports.ts';
import { Repository } from '../../../src/repository/repository.ts';
import { listSessionReports } from '../../../src/sessions/history/listReports.ts';
import { readText } from '../../../src/store/folder/durableFile.ts';
import { openStorage } from '../../../src/store/folder/fileStorage.ts';
import { blocks } from '../../helpers/bytes/images.ts';
import { expectCode } from '../../helpers/codes.ts';
import { runOf } from '../../helpers/jobs/runs.ts';
import { backUpState } from '../../helpers/repository/prunes.ts';
import { vmFolderOf } from '../../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();

/** Makes a pipe that nobody writes to. */
function pipe(...parts: string[]): string {
  const file = temp.path(...parts);
  execFileSync('mkfifo', [file]);
  return file;
}

describe('a named pipe', () => {
  test('is no small file of a repository, also behind a link', async () => {
    const file = pipe('vm.vbm');
    symlinkSync(file, temp.path('link.vbm'));

    await expectCode(readText(file, 100), 'REPOSITORY_METADATA_INVALID');
    await expectCode(readText(temp.path('link.vbm'), 100), 'REPOSITORY_METADATA_INVALID');
  });

  test('is no container', async () => {
    await expectCode(openStorage(pipe('disk.vbk'), 'read'), 'REPOSITORY_METADATA_INVALID');
  });

  test('is told and left out of the history', async () => {
    await backUpState(temp, temp.path('repo'), { a: blocks('A') });
    await using repository = await Repository.open(temp.path('repo'));
    const folder = vmFolderOf(temp.path('repo'));
    const run = runOf('success', { jobName: 'nightly' });
    await saveRunReport(repository, run);
    pipe('repo', 'runs', 'nightly-20261130T015000123Z-0123abcd.json');
    pipe('repo', path.basename(folder), 'session-20261130T015000123Z-backup-0123abcd.json');
    const codes: string[] = [];
    const onMessage = ({ code }: { code: string }): void => void codes.push(code);

    const runs = await listRunReports(repository, { onMessage });
    const sessions = await listSessionReports(repository, { onMessage });

    expect(runs.map(({ runId }) => runId)).toEqual([run.runId]);
    expect(sessions).toHaveLength(1);
    expect(codes).toEqual(['REPO-562', 'REPO-562']);
  });
});

test('a link to a regular file is followed', async () => {
  writeFileSync(temp.path('own'), 'text');
  symlinkSync(temp.path('own'), temp.path('link'));

  expect(await readText(temp.path('link'), 100)).toBe('text');
});
