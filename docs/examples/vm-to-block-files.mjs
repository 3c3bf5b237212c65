// Keeps each block of a VM's disks as a file: FOLDER/DISK-ID/OFFSET. Run it again for the changes.
//   node vm-to-block-files.mjs VM FOLDER
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { openVm } from 'ovirt-cbt';
import { engineSettings } from './engine.mjs';

const [vm, folder] = process.argv.slice(2);
await mkdir(folder, { recursive: true });
const checkpointFile = path.join(folder, 'checkpoint');
const since = await readFile(checkpointFile, 'utf8').catch(() => undefined);
const journal = path.join(folder, 'journal');

const backup = await openVm({ engine: await engineSettings(), vm, since, journal });
try {
  for (const disk of backup.disks) {
    const diskFolder = path.join(folder, disk.id);
    await mkdir(diskFolder, { recursive: true });
    const { mode, blockBytes } = await disk.pipe({
      async block({ offsetBytes, bytes }) {
        await writeFile(path.join(diskFolder, String(offsetBytes)), bytes);
      },
      async zero({ offsetBytes, lengthBytes }) {
        const names = await readdir(diskFolder);
        const isZero = (name) => Number(name) >= offsetBytes && Number(name) < offsetBytes + lengthBytes;
        await Promise.all(names.filter(isZero).map((name) => rm(path.join(diskFolder, name))));
      },
    });
    console.log(`${disk.alias}: ${mode}, ${blockBytes} bytes`);
  }
  const { checkpointId } = await backup.finish();
  await writeFile(checkpointFile, checkpointId);
} finally {
  await backup.close(); // without finish it cancels the backup and gives the VM back
}
