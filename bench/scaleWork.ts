/** Long chains and large containers. For child processes, so that the peak memory is their own. */
import { randomBytes } from 'node:crypto';
import { open, rm, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { FileMap } from '../src/container/write/blockMaps.ts';
import { ContainerReader } from '../src/container/read/containerReader.ts';
import { ContainerWriter } from '../src/container/write/containerWriter.ts';
import type { Storage } from '../src/store/storage.ts';
import { openStorage } from '../src/store/folder/fileStorage.ts';
import { KIB } from '../src/core/units.ts';
import { backupImages, restoreImages } from '../src/index.ts';
import type { Slot } from '../src/flow/slab.ts';
import { Repository } from '../src/repository/repository.ts';
import { RestorePointView } from '../src/repository/restorePointView.ts';
import { hashText, digestFile } from './programs.ts';
import { DiskFolder } from '../src/store/folder/diskFolder.ts';

const BLOCK_BYTES = 256 * KIB;
const CHANGED_BLOCKS = 10;
const VM = 'chain';

export interface ChainArgument {
  readonly folder: string;
  readonly imageBytes: number;
  readonly points: number;
  readonly workers: number;
}

async function changeImage(image: string, point: number, blocks: number): Promise<void> {
  const file = await open(image, 'r+');
  for (let k = 0; k < CHANGED_BLOCKS; k++) {
    const at = ((point * CHANGED_BLOCKS + k) * 7) % blocks;
    await file.write(randomBytes(64 * KIB), 0, 64 * KIB, at * BLOCK_BYTES);
  }
  await file.close();
}

/** Makes a full and small increments. @returns the digest of the image at the last point */
export async function makeChain(given: ChainArgument): Promise<{ digest: string }> {
  const { folder, imageBytes, points, workers } = given;
  const [image, repository] = [path.join(folder, 'chain.raw'), path.join(folder, 'chain')];
  await writeFile(image, randomBytes(imageBytes));
  for (let point = 0; point < points; point++) {
    if (point > 0) await changeImage(image, point, imageBytes / BLOCK_BYTES);
    const size = point === 0 ? { blockSizeBytes: BLOCK_BYTES } : {};
    await backupImages({ images: [image], vmName: VM, repository, workers, ...size });
  }
  return { digest: await digestFile(image) };
}

export interface PointCosts {
  readonly openSeconds: number;
  readonly composeSeconds: number;
  readonly restoreSeconds: number;
  readonly digest: string;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAtMs = performance.now();
  await work();
  return (performance.now() - startedAtMs) / 1000;
}

/** Opens the files of a point, composes its disk without reading data, and restores it. */
export async function usePoint(given: {
  readonly folder: string;
  readonly point: number;
  readonly workers: number;
}): Promise<PointCosts> {
  const repository = path.join(given.folder, 'chain');
  const folder = await (await Repository.open(repository)).requireVm(VM);
  const { points } = await folder.requireMetadata();
  const point = points[given.point - 1];
  const [disk] = point?.disks ?? [];
  if (!point || !disk) throw new Error(`there is no point ${given.point}`);
  let view: RestorePointView | undefined;
  const openSeconds = await timed(async () => {
    view = await RestorePointView.open(new DiskFolder(folder.folder), points, point);
  });
  const composeSeconds = await timed(async () => {
    const composed = await view?.disk(disk);
    for await (const _ of composed?.blocks() ?? []);
  });
  await view?.close();
  const output = path.join(given.folder, 'chain.out');
  const options = { repository, vm: VM, point: point.pointId, output, workers: given.workers };
  let digest = '';
  const restoreSeconds = await timed(async () => void (await restoreImages(options)));
  digest = await digestFile(path.join(output, disk.alias));
  await rm(output, { recursive: true });
  return { openSeconds, composeSeconds, restoreSeconds, digest };
}

/** A storage that drops the bytes of blocks. Only the metadata of the container is written. */
class HollowStorage implements Storage {
  readonly name: string;
  readonly canReadBack = true;
  readonly #file: Storage;
  readonly #path: string;
  isHollow = false;
  #endBytes = 0;

  constructor(file: Storage, filePath: string) {
    this.#file = file;
    this.#path = filePath;
    this.name = file.name;
  }

  async sizeBytes(): Promise<number> {
    return await this.#file.sizeBytes();
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    await this.#file.read(target, offsetBytes);
  }

  async write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    if (!this.isHollow) return await this.#file.write(pieces, offsetBytes);
    const lengthBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    this.#endBytes = Math.max(this.#endBytes, offsetBytes + lengthBytes);
  }

  async sync(): Promise<void> {
    if (!this.isHollow) await this.#file.sync();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Gives the file its full length, with holes in place of the dropped bytes. */
  async fill(): Promise<void> {
    this.isHollow = false;
    await truncate(this.#path, this.#endBytes);
  }
}

export interface BlocksArgument {
  readonly file: string;
  readonly blocks: number;
}

/** Blocks between two waits for the write queue. */
const BATCH_BLOCKS = 4096;
const STORED_BYTES = 4096;

/** A unique digest. The container needs no more: it does not compare digests with data. */
function digestOf(index: number): Buffer {
  const digest = Buffer.alloc(16);
  digest.writeUInt32LE(Math.imul(index, 2_654_435_761) >>> 0, 0);
  digest.writeUInt32LE(index, 4);
  digest.writeUInt32LE(Math.imul(index, 40_503) >>> 0, 8);
  return digest;
}

async function appendBlocks(writer: ContainerWriter, blocks: number): Promise<FileMap> {
  const map = new FileMap();
  const slot = { bytes: Buffer.alloc(STORED_BYTES, 1), release: () => {} } as unknown as Slot;
  for (let index = 0; index < blocks; index++) {
    const { blockId } = writer.append({
      kind: 'packed',
      diskId: 'big',
      index,
      offsetBytes: index * BLOCK_BYTES,
      lengthBytes: BLOCK_BYTES,
      slot,
      codec: 'lz4',
      storedBytes: STORED_BYTES,
      fingerprint: BigInt(index + 1),
      digest: digestOf(index),
    });
    map.set(index, blockId);
    if (index % BATCH_BLOCKS === 0) await writer.drain();
  }
  await writer.drain();
  return map;
}

/** Writes a container of distinct blocks with the product's writer. */
export async function writeBlocks({ file, blocks }: BlocksArgument): Promise<{
  readonly appendSeconds: number;
  readonly commitSeconds: number;
  readonly allocatedBytes: number;
}> {
  const storage = new HollowStorage(await openStorage(file, 'create'), file);
  const writer = await ContainerWriter.create(storage, { blockSizeBytes: BLOCK_BYTES });
  storage.isHollow = true;
  const appendSeconds = await timed(async () => {
    const map = await appendBlocks(writer, blocks);
    const folder = writer.addFolder('big', []);
    writer.addFile(folder, { name: 'disk', sizeBytes: blocks * BLOCK_BYTES, map });
  });
  await writer.settle();
  await storage.fill();
  const commitSeconds = await timed(() => writer.commit());
  await storage.close();
  return { appendSeconds, commitSeconds, allocatedBytes: (await stat(file)).blocks * 512 };
}

/** Opens the container and reads its map once. */
export async function readBlocks({ file }: BlocksArgument): Promise<{
  readonly openSeconds: number;
  readonly walkSeconds: number;
  readonly checksum: string;
}> {
  let reader: ContainerReader | undefined;
  const openSeconds = await timed(async () => {
    reader = await ContainerReader.open(await openStorage(file, 'read'));
  });
  let count = 0;
  const walkSeconds = await timed(async () => {
    const item = (await reader?.items())?.find((one) => one.kind === 'file');
    if (!reader || !item) throw new Error('the container has no file');
    for await (const _ of reader.references(item)) count++;
  });
  await reader?.close();
  return { openSeconds, walkSeconds, checksum: hashText(String(count)) };
}
