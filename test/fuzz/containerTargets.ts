/**
 * Fuzz targets that read containers: a single one, and one as a member of a chain in a repository.
 */
import {
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { crc32c } from '@node-rs/crc32';
import { ContainerReader } from '../../src/container/read/containerReader.ts';
import type { ContainerItem } from '../../src/container/format/items.ts';
import { ZERO_BLOCK_ID } from '../../src/container/format/records.ts';
import { checkStructure } from '../../src/container/read/structureCheck.ts';
import { BackupError } from '../../src/core/errors.ts';
import { type BlockCodecs, createBlockCodecs } from '../../src/compute/blockCodecs.ts';
import { inspectFiles } from '../../src/sessions/files/inspectFiles.ts';
import { restoreFiles } from '../../src/sessions/files/restoreFiles.ts';
import { verifyFiles } from '../../src/sessions/files/verifyFiles.ts';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import { rescanRepository } from '../../src/sessions/cleanup/rescanRepository.ts';
import { restoreImages } from '../../src/sessions/restore/restoreImages.ts';
import { verifyRepository } from '../../src/sessions/verify/verifyRepository.ts';
import { makeFastFolder, rootFolder } from '../helpers/folders.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { foreignChain } from '../helpers/bytes/foreignChains.ts';
import { MemoryStorage } from '../helpers/bytes/memoryStorage.ts';
import { backup } from '../helpers/repository/imageSessions.ts';
import { isReport } from '../helpers/repository/repositoryFiles.ts';
import { noise, prose } from '../helpers/bytes/random.ts';
import { fileOf, incrementOf, writeContainer } from '../helpers/bytes/smallContainers.ts';
import { mutateXml } from './mutate.ts';
import { mutateContainer } from './mutateContainer.ts';
import type { FuzzTarget } from './target.ts';

const GOLDEN = [
  'g01-minimal.vbk',
  'g02-blocks.vbk',
  'g03-two-versions.vbk',
  'g07-chain-1.vib',
  'g09-edges.vbk',
];
const SMALL_BLOCK_BYTES = 4096;
/** Most references that one page of metadata can hold. */
const REFERENCES_PER_PAGE = 90;
/** Most reads and bytes per page of the file: metadata is read several times, page by page. */
const READS_PER_PAGE = 200;

/** Bytes of header and slots, which are read before the size of the file matters. */
const SLOT_BYTES = 1024 * 1024;

/** A file in memory that throws when a reader asks for more than the file size can justify. */
class CountingStorage extends MemoryStorage {
  #reads = 0;

  override async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    const limit = 10_000 + (this.content.length / SMALL_BLOCK_BYTES) * READS_PER_PAGE;
    if (++this.#reads > limit) throw new Error(`more than ${limit} reads`);
    if (target.length > this.content.length + SLOT_BYTES)
      throw new Error(`a read of ${target.length} B`);
    await super.read(target, offsetBytes);
  }
}

async function readItem(
  reader: ContainerReader,
  item: ContainerItem,
  codecs: BlockCodecs,
  seen: Set<number>,
): Promise<void> {
  const limit = reader.snapshot.pages.totalPages * REFERENCES_PER_PAGE;
  let count = 0;
  for await (const reference of reader.references(item)) {
    if (++count > limit) throw new Error(`${item.path}: more than ${limit} references`);
    if (reference.blockId === ZERO_BLOCK_ID || seen.has(reference.blockId)) continue;
    seen.add(reference.blockId);
    await tolerate(() => reader.readBlock(reference, codecs));
  }
}

/** Damage in one place must not hide damage in another place. */
async function tolerate(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof BackupError) || error.code.startsWith('INTERNAL')) throw error;
  }
}

async function takeContainer(input: Buffer): Promise<void> {
  const reader = await ContainerReader.open(new CountingStorage(input));
  const codecs = await createBlockCodecs();
  const items = await reader.items();
  const seen = new Set<number>();
  for (const item of items) {
    if (item.kind === 'file' || item.kind === 'increment') {
      await tolerate(() => readItem(reader, item, codecs, seen));
    }
  }
  await checkStructure(reader, items);
}

async function ownContainer(): Promise<Buffer> {
  const properties = [{ name: 'Text', type: 'AString', value: 'x'.repeat(5000) }] as const;
  const content = Buffer.concat([
    prose(1, SMALL_BLOCK_BYTES),
    noise(2, SMALL_BLOCK_BYTES),
    noise(3, 100),
  ]);
  const patches = [0, 5].map((index) => [index, noise(index, SMALL_BLOCK_BYTES)] as const);
  const disks = [
    { ...fileOf('disk', content, SMALL_BLOCK_BYTES), properties },
    incrementOf('changes', 9 * SMALL_BLOCK_BYTES, patches),
  ];
  return (await writeContainer({ blockSizeBytes: SMALL_BLOCK_BYTES, disks })).content;
}

/** Fulls and increments as others write them: each compression, and lists of pages. */
function foreignContainers(): Buffer[] {
  return [
    ...foreignChain({ method: 'zlib', slotFormat: 0 }),
    ...foreignChain({ method: 'zstd', slotFormat: 0, clusterAlign: 0 }),
    ...foreignChain({ method: 'zstdHigh', version: 9, maxBanks: 248 }),
  ];
}

export async function containerTarget(): Promise<FuzzTarget> {
  const golden = GOLDEN.map((name) => readFileSync(`${rootFolder()}/fixtures/golden/${name}`));
  const seeds = [await ownContainer(), ...golden, ...foreignContainers()];
  return { name: 'container', seeds, mutate: mutateContainer, take: takeContainer, cost: 2 };
}

/** The file with the results of verify. Verify may write it, and reports of sessions. */
const VERIFY_RECORD = 'verify.json';

/** All files below a folder, except those that a command may write. */
function treeOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(({ name }) => name !== VERIFY_RECORD && !isReport(name))
    .map((entry) => {
      const file = path.join(entry.parentPath, entry.name);
      return entry.isDirectory() ? file : `${file} ${lstatSync(file).size}`;
    })
    .toSorted();
}

/** A chain of three points in a separate folder. Its files can be replaced. */
class ChainScene {
  readonly folder = makeFastFolder('fuzz');

  get repository(): string {
    return path.join(this.folder, 'repository');
  }

  async build(): Promise<void> {
    for (const letters of ['Aa0', 'Ba0', 'BCx']) {
      const image = writeImage(path.join(this.folder, 'image'), blocks(letters));
      await backup(this.repository, image);
    }
    rmSync(path.join(this.folder, 'image'));
    cpSync(this.repository, path.join(this.folder, 'sound'), { recursive: true });
  }

  filesOf(suffix: RegExp): string[] {
    const names = readdirSync(path.join(this.folder, 'sound'), { recursive: true }).map(String);
    return names.filter((name) => suffix.test(name)).toSorted();
  }

  /** Restores the undamaged repository and replaces one file. */
  reset(name: string, content: Buffer): void {
    rmSync(this.repository, { recursive: true, force: true });
    cpSync(path.join(this.folder, 'sound'), this.repository, { recursive: true });
    writeFileSync(path.join(this.repository, name), content);
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  /**
   * Executes the reading commands on the repository. They must not change anything outside the
   * output.
   */
  async use(): Promise<void> {
    const { repository } = this;
    const before = treeOf(this.folder);
    const output = path.join(this.folder, 'output');
    mkdirSync(output);
    try {
      await tolerate(() => listRepository({ repository }));
      await tolerate(() => verifyRepository({ repository, point: 'all', workers: 0 }));
      const restore = { repository, vm: 'vm', output, workers: 0 };
      await tolerate(() => restoreImages(restore));
      const salvaged = path.join(output, 'salvaged');
      await tolerate(() => restoreImages({ ...restore, output: salvaged, skipDamaged: true }));
    } finally {
      rmSync(output, { recursive: true, force: true });
    }
    const after = treeOf(this.folder);
    const changed = [...after, ...before].filter(
      (line) => !before.includes(line) || !after.includes(line),
    );
    if (changed.length > 0) throw new Error(`something else was written: ${changed.join(', ')}`);
    await tolerate(() => rescanRepository({ repository }));
  }
}

/** A chain of others whose files are forged, and what reads them without a repository. */
export function filesTarget(): FuzzTarget {
  const folder = makeFastFolder('fuzz');
  const chains = [
    foreignChain({ method: 'zstd', slotFormat: 0, second: 'second machine' }),
    foreignChain({ method: 'zlib', version: 9, maxBanks: 248 }),
  ];
  const seeds = chains.flat();
  return {
    name: 'files',
    seeds,
    mutate: mutateContainer,
    async take(input) {
      const at = crc32c(input) % seeds.length;
      const chain = chains[Math.floor(at / 3)] ?? [];
      const files = chain.map((content, k) => {
        const file = path.join(folder, `${k}.vib`);
        writeFileSync(file, k === at % 3 ? input : content);
        return file;
      });
      const output = path.join(folder, 'output');
      const options = { files, vm: 'web server', workers: 0 };
      try {
        await tolerate(() => inspectFiles({ files }));
        await tolerate(() => verifyFiles(options));
        await tolerate(() => restoreFiles({ ...options, output }));
        const salvaged = path.join(output, 'salvaged');
        await tolerate(() => restoreFiles({ ...options, output: salvaged, skipDamaged: true }));
      } finally {
        rmSync(output, { recursive: true, force: true });
      }
    },
    cost: 40,
    close: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A chain whose containers are forged. */
export async function chainTarget(): Promise<FuzzTarget> {
  const scene = new ChainScene();
  await scene.build();
  const names = scene.filesOf(/\.(vbk|vib)$/);
  const seeds = names.map((name) => readFileSync(path.join(scene.folder, 'sound', name)));
  return {
    name: 'chain',
    seeds,
    mutate: mutateContainer,
    async take(input) {
      scene.reset(names[crc32c(input) % names.length] ?? '', input);
      await scene.use();
    },
    cost: 60,
    close: async () => scene.close(),
  };
}

/** A chain with forged metadata: names, sizes, parents. */
export async function vbmTarget(): Promise<FuzzTarget> {
  const scene = new ChainScene();
  await scene.build();
  const [name = ''] = scene.filesOf(/\.vbm$/);
  return {
    name: 'vbm',
    seeds: [readFileSync(path.join(scene.folder, 'sound', name))],
    mutate: mutateXml,
    async take(input) {
      scene.reset(name, input);
      await scene.use();
    },
    cost: 40,
    close: async () => scene.close(),
  };
}
