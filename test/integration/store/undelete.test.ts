/** Files of a repository that somebody with its credentials deleted or replaced. */
import path from 'node:path';
import { expect, test } from 'vitest';
import { rescanRepository } from '../../../src/sessions/cleanup/rescanRepository.ts';
import { BLOCK_BYTES } from '../../helpers/bytes/images.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { isReport } from '../../helpers/repository/repositoryFiles.ts';
import { ImageChain } from '../../helpers/s3/imageChain.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();
const s3 = useS3({ bucket: { versioning: true } });

test('come back with rescan --undelete, and each point restores', async () => {
  const place = { repository: s3.repository };
  const chain = new ImageChain(place, temp.path());
  for (let k = 0; k < 3; k++) await chain.session(noise(k, 3 * BLOCK_BYTES));
  const prefix = s3.repository.slice(`s3://${s3.bucket}/`.length);
  const keys = await s3.keys();
  const { client } = s3.server;
  for (const name of keys) {
    const object = { Bucket: s3.bucket, Key: `${prefix}/${name}` };
    if (name.endsWith('.vib')) await client.putObject({ ...object, Body: 'ransom' });
    await client.deleteObject(object);
  }
  expect(await s3.keys()).toEqual([]);

  const report = await rescanRepository({ ...place, undelete: true });

  const lasting = keys.filter(
    (key) => !key.endsWith('verify.json') && !isReport(path.posix.basename(key)),
  );
  expect(report.undeleted?.files.toSorted()).toEqual(lasting);
  expect(report).toMatchObject({ undeleted: { failed: [] }, vms: [{ pointCount: 3 }] });
  await chain.check();
  const again = await rescanRepository({ ...place, undelete: true });
  expect(again.undeleted).toEqual({ files: [], failed: [] });
});

test('are lost in a folder, which keeps no versions', async () => {
  const place = { repository: temp.path('folder') };
  await new ImageChain(place, temp.path()).session(noise(1, BLOCK_BYTES));

  await expect(rescanRepository({ ...place, undelete: true })).rejects.toMatchObject({
    code: 'USAGE_INVALID_OPTION',
  });
});
