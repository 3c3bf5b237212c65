/** The order in which a repository names its VMs. */
import { expect, test } from 'vitest';
import { Repository } from '../../../src/repository/repository.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();

test('a VM stands before those whose names begin with its name', async () => {
  const repository = await Repository.openOrCreate(temp.path('repo'));
  for (const [k, name] of ['web01-new', 'web01', 'db'].entries()) {
    await repository.createVm({ id: `00000000-0000-4000-8000-00000000000${k}`, name });
  }

  const folders = await repository.vmFolders();

  expect(folders.map((folder) => folder.safeName)).toEqual(['db', 'web01', 'web01-new']);
});
