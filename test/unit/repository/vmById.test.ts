/** The folder of a VM by its id, which is asked for once in each session. */
import { mkdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Repository } from '../../../src/repository/repository.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();
const ID = '00000000-0000-4000-8000-000000000001';
const OTHER = '00000000-0000-4000-8000-000000000002';

test('is found among others, and the first by name where several have the id', async () => {
  const repository = await Repository.openOrCreate(temp.path('repository'));
  for (const name of [`web01-new.${ID}`, `web01.${ID}`, `web01.${OTHER}`, ID, `x${ID}`]) {
    mkdirSync(temp.path(`repository/${name}`));
  }

  expect(await repository.vmById(ID)).toMatchObject({ safeName: 'web01', vmId: ID });
  expect(await repository.vmById(OTHER)).toMatchObject({ safeName: 'web01', vmId: OTHER });
  expect(await repository.vmById(ID.replace('1', '3'))).toBeUndefined();
  expect((await repository.vmFolders())[0]).toMatchObject({ safeName: 'web01', vmId: ID });
});
