/** Read access to the restore points of a repository. */
import { invariant, toFailure, UsageError } from '../core/errors.ts';
import { MIB } from '../core/units.ts';
import type { ChainMetadata } from '../repository/pointXml.ts';
import { Repository } from '../repository/repository.ts';
import type { RestorePoint } from '../repository/restorePoint.ts';
import { RestorePointView } from '../repository/restorePointView.ts';
import { resolveWorkers } from '../sessions/shared/pipelineResources.ts';
import { findDisk, selectPoint } from '../sessions/shared/selectPoint.ts';
import { BlockCache } from './blockCache.ts';
import { BlockLoader, closedError } from './blockLoader.ts';
import { exportDisks, type ServeOptions } from './nbd/exportPoint.ts';
import { PointDisk } from './pointDisk.ts';
import type { DiskServer, ServeDiskOptions } from './pointTypes.ts';

const DEFAULT_CACHE_BYTES = 64 * MIB;
const MAX_CACHE_BYTES = 4096 * MIB;

export interface OpenRepositoryOptions {
  /** Worker threads that expand blocks. @defaultValue the number of CPUs, at most 8 */
  readonly workers?: number | undefined;
  /** Memory for expanded blocks that `read` keeps. @defaultValue 64 MiB */
  readonly cacheBytes?: number | undefined;
}

/** A restore point and its chain. */
export interface PointSource {
  /** Folder of the VM. */
  readonly folder: string;
  readonly metadata: ChainMetadata;
  readonly point: RestorePoint;
}

/** Not a field of {@link OpenPoint}, whose fields are public. */
const sources = new WeakMap<OpenPoint, PointSource>();

/** Where an opened point lies, for sessions that compare with it. */
export function sourceOf(point: OpenPoint): PointSource {
  const source = sources.get(point);
  invariant(source, 'an opened point has a source');
  return source;
}

/** Loaders, cache and open points of an opened repository. */
class SharedParts {
  /** Folder of the repository. Nothing may be written into it. */
  readonly repository: string;
  readonly cache: BlockCache;
  readonly #points = new Set<OpenPoint>();
  readonly #workers: number | undefined;
  /** By block size: slots of a slab have one size. */
  readonly #loaders = new Map<number, Promise<BlockLoader>>();
  isClosed = false;

  constructor(
    repository: string,
    { workers, cacheBytes = DEFAULT_CACHE_BYTES }: OpenRepositoryOptions,
  ) {
    this.repository = repository;
    this.#workers = workers;
    this.cache = new BlockCache(cacheBytes);
  }

  assertOpen(): void {
    if (this.isClosed) throw closedError();
  }

  add(point: OpenPoint): void {
    this.#points.add(point);
  }

  /** Drops a point that was closed. Otherwise its index would stay in memory. */
  delete(point: OpenPoint): void {
    this.#points.delete(point);
  }

  async loader(blockSizeBytes: number): Promise<BlockLoader> {
    this.assertOpen();
    const known = this.#loaders.get(blockSizeBytes);
    if (known) return await known;
    const created = BlockLoader.create(blockSizeBytes, this.#workers);
    this.#loaders.set(blockSizeBytes, created);
    return await created;
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    try {
      await allEnded([...this.#points].map((point) => point.close()));
    } finally {
      await Promise.all([...this.#loaders.values()].map(async (loader) => (await loader).close()));
    }
  }
}

/** Waits for all of them, also when one fails. @throws the first failure */
async function allEnded(work: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(work);
  await Promise.all(work);
}

/** A restore point that is open for reading. {@link close} gives its files back. */
export class OpenPoint {
  readonly id: string;
  readonly number: number;
  readonly vmId: string;
  readonly vmName: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  readonly disks: readonly PointDisk[];
  readonly #view: RestorePointView;
  readonly #shared: SharedParts;
  readonly #servers = new Set<DiskServer>();
  #isClosed = false;

  private constructor(
    source: PointSource,
    view: RestorePointView,
    shared: SharedParts,
    loader: BlockLoader,
  ) {
    const { point, metadata } = source;
    this.id = point.pointId;
    this.number = point.number;
    this.vmId = metadata.vm.id;
    this.vmName = metadata.vm.name;
    this.createdAt = point.createdAt;
    sources.set(this, source);
    this.#view = view;
    this.#shared = shared;
    const parts = {
      view,
      loader,
      cache: shared.cache,
      assertOpen: () => this.#assertOpen(),
      serve: async (disk: PointDisk, { writable, tls, ...address }: ServeDiskOptions) =>
        await this.serveNbd([disk], { address, writable, tls }),
    };
    this.disks = point.disks.map((disk) => new PointDisk(disk, parts));
  }

  static async open(source: PointSource, shared: SharedParts): Promise<OpenPoint> {
    const { folder, metadata, point } = source;
    const loader = await shared.loader(point.blockSizeBytes);
    const view = await RestorePointView.open(folder, metadata.points, point);
    const opened = new OpenPoint(source, view, shared, loader);
    shared.add(opened);
    if (shared.isClosed) {
      // The repository was closed while the files were opened.
      await opened.close();
      throw closedError();
    }
    return opened;
  }

  /**
   * The disk with this id, otherwise the only one with this alias.
   *
   * @throws {@link UsageError} `USAGE_NOT_FOUND`; `USAGE_INVALID_OPTION` when several have the
   *   alias
   */
  disk(idOrAlias: string): PointDisk {
    const named = this.disks.map((disk) => ({ diskId: disk.id, alias: disk.alias, disk }));
    return findDisk(named, idOrAlias, `restore point ${this.id}`).disk;
  }

  /**
   * Serves disks over NBD until the server or the point is closed.
   *
   * @throws as {@link PointDisk.serveNbd}
   */
  async serveNbd(disks: readonly PointDisk[], options: ServeOptions): Promise<DiskServer> {
    this.#assertOpen();
    const point = {
      pointId: this.id,
      repository: this.#shared.repository,
      onEnd: (ended: DiskServer) => void this.#servers.delete(ended),
    };
    const server = await exportDisks(disks, point, options);
    this.#servers.add(server);
    if (!this.#isClosed) return server;
    // The point was closed while the extents were read.
    await server.close();
    throw closedError();
  }

  /**
   * Ends its servers and closes the files of the point. May be called twice. Its disks cannot be
   * read afterwards.
   *
   * @throws {@link OutputError} when an overlay could not be flushed; all is closed then too
   */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#shared.delete(this);
    try {
      await allEnded([...this.#servers].map((server) => server.close()));
    } finally {
      await this.#view.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertOpen(): void {
    if (this.#isClosed) throw closedError();
  }
}

/** A repository that is open for reading. */
export class OpenRepository {
  readonly #repository: Repository;
  readonly #shared: SharedParts;

  constructor(repository: Repository, shared: SharedParts) {
    this.#repository = repository;
    this.#shared = shared;
  }

  /**
   * Opens a restore point. It is closed with the repository, or before by its own `close`.
   *
   * @param vm - name or id.
   * @param selector - number or id of the point, the beginning of its id, or `latest`.
   * @throws {@link UsageError} `USAGE_NOT_FOUND`; errors of a chain that cannot be opened
   */
  async point(vm: string, selector = 'latest'): Promise<OpenPoint> {
    this.#shared.assertOpen();
    const folder = await this.#repository.requireVm(vm);
    const metadata = await folder.requireMetadata();
    const point = selectPoint(metadata, selector);
    return await OpenPoint.open({ folder: folder.folder, metadata, point }, this.#shared);
  }

  /** Closes all points and threads. May be called twice. */
  async close(): Promise<void> {
    await this.#shared.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Opens a repository for reading. Nothing is written and no lock is taken: a prune at the same time
 * may remove files of an opened point, and reads of it fail then.
 *
 * @throws {@link RepositoryError} `REPOSITORY_NOT_FOUND`; {@link UsageError}
 *   `USAGE_INVALID_OPTION`
 */
export async function openRepository(
  folder: string,
  options: OpenRepositoryOptions = {},
): Promise<OpenRepository> {
  checkCache(options.cacheBytes);
  resolveWorkers(options.workers);
  try {
    const repository = await Repository.open(folder);
    return new OpenRepository(repository, new SharedParts(repository.root, options));
  } catch (error) {
    throw toFailure(error);
  }
}

function checkCache(cacheBytes: number | undefined): void {
  if (cacheBytes === undefined) return;
  if (Number.isInteger(cacheBytes) && cacheBytes >= 0 && cacheBytes <= MAX_CACHE_BYTES) return;
  throw new UsageError('USAGE_INVALID_OPTION', `cacheBytes: ${cacheBytes} is not 0 B to 4 GiB`, {
    hint: 'leave it out for 64 MiB',
  });
}
