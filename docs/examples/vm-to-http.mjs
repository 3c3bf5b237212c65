// Sends each block of a VM's disks to an HTTP server. A slow server slows the reads down.
//   node vm-to-http.mjs VM http://127.0.0.1:8080/
import { openVm } from 'ovirt-cbt';
import { engineSettings } from './engine.mjs';

const [vm, url] = process.argv.slice(2);

function placeOf(disk, { offsetBytes, lengthBytes }) {
  return new URL(`${disk.id}?offset=${offsetBytes}&length=${lengthBytes}`, url);
}

function check(answer) {
  if (!answer.ok) throw new Error(`${answer.url}: ${answer.status}`);
}

const backup = await openVm({ engine: await engineSettings(), vm });
try {
  for (const disk of backup.disks) {
    await disk.pipe({
      compress: 'lz4', // raw LZ4 blocks; `codec` of a block is `plain` where LZ4 does not pay
      async block(block) {
        // fetch refuses shared memory, so it gets a copy.
        const body = new Uint8Array(block.bytes);
        check(await fetch(placeOf(disk, block), { method: 'PUT', body }));
      },
      async zero(zero) {
        check(await fetch(placeOf(disk, zero), { method: 'DELETE' }));
      },
    });
  }
  await backup.finish();
} finally {
  await backup.close();
}
