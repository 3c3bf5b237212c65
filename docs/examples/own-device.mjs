// A disk of one's own: anything that can read ranges can be backed up. This one counts upwards.
//   node own-device.mjs
import { createHash } from 'node:crypto';
import { openImage } from 'ovirt-cbt';

class CountingDisk {
  virtualSizeBytes = 3 << 20;

  // Says what is data and what is zeros, so that zeros are never read.
  extents() {
    return [
      { offsetBytes: 0, lengthBytes: 1 << 20, zero: false },
      { offsetBytes: 1 << 20, lengthBytes: 1 << 20, zero: true },
      { offsetBytes: 2 << 20, lengthBytes: 1 << 20, zero: false },
    ];
  }

  // Fills `target` and returns how many bytes it got.
  async readInto(target, offsetBytes) {
    for (let k = 0; k < target.length; k++) target[k] = (offsetBytes + k) & 0xff;
    return target.length;
  }

  async close() {}
}

const hash = createHash('sha256');
const backup = await openImage(new CountingDisk(), { name: 'counter' });
try {
  const report = await backup.disks[0].pipe({
    block: ({ bytes }) => void hash.update(bytes),
    zero: ({ lengthBytes }) => void hash.update(Buffer.alloc(lengthBytes)),
  });
  console.log(report.readBytes, report.zeroBytes, hash.digest('hex'));
} finally {
  await backup.close();
}
