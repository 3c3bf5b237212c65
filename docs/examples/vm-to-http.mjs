// Sends each block of a VM's disks to an HTTP server. A slow server slows the reads down.
//   node vm-to-http.mjs VM http://127.0.0.1:8080/
import { openVm } from 'ovirt-cbt';
import { engineSettings } from './engine.mjs';

const [vm, url] = process.argv.slice(2);

async function send(method, disk, offsetBytes, lengthBytes, body) {
  const target = new URL(`${disk.id}?offset=${offsetBytes}&length=${lengthBytes}`, url);
  const answer = await fetch(target, { method, body });
  if (!answer.ok) throw new Error(`${method} ${target}: ${answer.status}`);
}

const backup = await openVm({ engine: await engineSettings(), vm });
try {
  for (const disk of backup.disks) {
    await disk.pipe({
      compress: 'lz4', // raw LZ4 blocks; `codec` of a block is `plain` where LZ4 does not pay
      async block({ offsetBytes, lengthBytes, bytes }) {
        // fetch refuses shared memory, so it gets a copy.
        await send('PUT', disk, offsetBytes, lengthBytes, new Uint8Array(bytes));
      },
      async zero({ offsetBytes, lengthBytes }) {
        await send('DELETE', disk, offsetBytes, lengthBytes);
      },
    });
  }
  await backup.finish();
} finally {
  await backup.close();
}
