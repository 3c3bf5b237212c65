// Makes a copy of an image equal to it, and writes only the blocks that differ.
//   node image-sync.mjs SOURCE COPY
import { open } from 'node:fs/promises';
import { openImage } from 'ovirt-cbt';

const [source, copy] = process.argv.slice(2);
const file = await open(copy, 'a').then(async (created) => {
  await created.close();
  return await open(copy, 'r+');
});
let writtenBytes = 0;

async function writeIfOther(bytes, offsetBytes) {
  const present = Buffer.alloc(bytes.length);
  await file.read(present, 0, present.length, offsetBytes);
  if (present.equals(bytes)) return;
  await file.write(bytes, 0, bytes.length, offsetBytes);
  writtenBytes += bytes.length;
}

const backup = await openImage(source);
try {
  const [disk] = backup.disks;
  await file.truncate(disk.virtualSizeBytes);
  await disk.pipe({
    block: async ({ offsetBytes, bytes }) => await writeIfOther(bytes, offsetBytes),
    async zero({ offsetBytes, lengthBytes }) {
      const pieceBytes = 1 << 20;
      for (let done = 0; done < lengthBytes; done += pieceBytes) {
        const zeros = Buffer.alloc(Math.min(pieceBytes, lengthBytes - done));
        await writeIfOther(zeros, offsetBytes + done);
      }
    },
  });
  await file.sync();
} finally {
  await backup.close();
  await file.close();
}
console.log(`${writtenBytes} bytes written`);
