// Stores each content of an image once: blocks go to FOLDER by their hash, and a list says where they belong.
//   node own-stage.mjs IMAGE FOLDER
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { bytesOf, callbackSink, callbackStage, createPipeline, openRawImage } from 'ovirt-cbt/stages';

const [image, folder] = process.argv.slice(2);
await mkdir(folder, { recursive: true });

const seen = new Set();
const places = [];
let storedBytes = 0;

// Drops the blocks whose content came before. The memory of dropped records is given back.
const deduplicate = callbackStage((record) => {
  if (record.kind !== 'hashed') return undefined;
  const hash = createHash('sha256').update(bytesOf(record)).digest('hex');
  places.push({ offsetBytes: record.offsetBytes, hash });
  if (seen.has(hash)) return undefined;
  seen.add(hash);
  return record;
});

const sink = callbackSink(async (record) => {
  const bytes = bytesOf(record);
  storedBytes += bytes.length;
  const hash = createHash('sha256').update(bytes).digest('hex');
  await writeFile(path.join(folder, hash), bytes);
});

const device = await openRawImage(image);
const pipeline = await createPipeline({ blockSizeBytes: 256 << 10 });
try {
  const disk = pipeline.disk(device);
  await disk.connect([disk.filter(), disk.reader(), disk.comparer(), deduplicate], sink);
} finally {
  await pipeline.close();
  await device.close();
}
await writeFile(path.join(folder, 'places.json'), JSON.stringify(places));
console.log(`${places.length} blocks, ${storedBytes} bytes stored`);
