// Prints one line for each block that a restore point holds against its parent point.
//   node changes-to-ndjson.mjs REPOSITORY VM [POINT]
import { createHash } from 'node:crypto';
import { openRepository } from 'ovirt-cbt';

const [folder, vm, selector] = process.argv.slice(2);

const repository = await openRepository(folder);
try {
  const point = await repository.point(vm, selector);
  for (const disk of point.disks) {
    for await (const change of disk.changedBlocks()) {
      const { kind, offsetBytes } = change;
      const content =
        kind === 'block'
          ? { sha256: createHash('sha256').update(change.bytes).digest('hex') }
          : { lengthBytes: change.lengthBytes };
      console.log(JSON.stringify({ disk: disk.alias, kind, offsetBytes, ...content }));
    }
  }
} finally {
  await repository.close();
}
