// Writes a range of a disk at a restore point to stdout. Only the blocks of the range are read.
//   node read-range.mjs REPOSITORY VM DISK OFFSET LENGTH
import { pipeline } from 'node:stream/promises';
import { openRepository } from 'ovirt-cbt';

const [folder, vm, diskName, offset, length] = process.argv.slice(2);

const repository = await openRepository(folder);
try {
  const disk = (await repository.point(vm, 'latest')).disk(diskName);
  const range = { offsetBytes: Number(offset), lengthBytes: Number(length) };
  await pipeline(disk.createReadStream(range), process.stdout);
} finally {
  await repository.close();
}
