/** Read access to the restore points of a repository. */
import { toFailure, UsageError } from '../core/errors.ts';
import { MIB } from '../core/units.ts';
import type { ChainMetadata } from '../repository/pointXml.ts';
import { Repository } from '../repository/repository.ts';
import type { RestorePoint, VmIdentity } from '../repository/restorePoint.ts';
import { RestorePointView } from '../repository/restorePointView.ts';
import { resolveWorkers } from '../sessions/shared/pipelineResources.ts';
import { findDisk, selectPoint } from '../sessions/shared/selectPoint.ts';
import { BlockCache } from './blockCache.ts';
import { BlockLoader, closedError } from './blockLoader.ts';
import { exportDisks, type ServeOptions } from './nbd/exportPoint.ts';
import type { NbdServer } from './nbd/nbdServer.ts';
import { PointDisk } from './pointDisk.ts';
import type { DiskServer, ServeAddress } from './pointTypes.ts';

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

/**
 * Where an opened point lies, for sessions that compare with it.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a point of `openFiles`
 */
export function sourceOf(point: OpenPoint): PointSource {
  const source = sources.get(point);
  if (source) return source;
  throw new UsageError('USAGE_INVALID_OPTION', 'a point of single files cannot be the parent', {
    hint: 'use a point of openRepository',
  });
}

/** Loaders, cache and open points of an opened repository. */
export class SharedParts {
  readonly cache: BlockCache;
  readonly #points = new Set<OpenPoint>();
  readonly #workers: number | undefined;
  /** By block size: slots of a slab have one size. */
  readonly #loaders = new Map<number, Promise<BlockLoader>>();
  isClosed = false;

  constructor({ workers, cacheBytes = DEFAULT_CACHE_BYTES }: OpenRepositoryOptions) {
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
    await Promise.all([...this.#points].map((point) => point.close()));
    await Promise.all([...this.#loaders.values()].map(async (loader) => (await loader).close()));
  }
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
  readonly #servers = new Set<NbdServer>();
  #ownsShared = false;
  #isClosed = false;

  private constructor(
    vm: VmIdentity,
    view: RestorePointView,
    shared: SharedParts,
    loader: BlockLoader,
  ) {
    const { point } = view;
    this.id = point.pointId;
    this.number = point.number;
    this.vmId = vm.id;
    this.vmName = vm.name;
    this.createdAt = point.createdAt;
    this.#view = view;
    this.#shared = shared;
    const parts = {
      view,
      loader,
      cache: shared.cache,
      assertOpen: () => this.#assertOpen(),
      serve: (disk: PointDisk, address: ServeAddress) => this.serveNbd([disk], { address }),
    };
    this.disks = point.disks.map((disk) => new PointDisk(disk, parts));
  }

  static async open(source: PointSource, shared: SharedParts): Promise<OpenPoint> {
    const { folder, metadata, point } = source;
    const loader = await shared.loader(point.blockSizeBytes);
    const view = await RestorePointView.open(folder, metadata.points, point);
    const opened = new OpenPoint(metadata.vm, view, shared, loader);
    sources.set(opened, source);
    shared.add(opened);
    if (shared.isClosed) {
      // The repository was closed while the files were opened.
      await opened.close();
      throw closedError();
    }
    return opened;
  }

  /** A point of single files. Nothing else uses `shared`, which is closed with the point. */
  static async ofView(
    vm: VmIdentity,
    view: RestorePointView,
    shared: SharedParts,
  ): Promise<OpenPoint> {
    const loader = await shared.loader(view.newest.blockRoomBytes);
    const opened = new OpenPoint(vm, view, shared, loader);
    opened.#ownsShared = true;
    shared.add(opened);
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
   * Serves disks over NBD, read-only, until the server or the point is closed.
   *
   * @throws {@link UsageError} for an address that cannot be used
   */
  async serveNbd(disks: readonly PointDisk[], options: ServeOptions): Promise<DiskServer> {
    this.#assertOpen();
    const server = await exportDisks(disks, {
      ...options,
      onEnd: (ended) => this.#servers.delete(ended),
    });
    this.#servers.add(server);
    if (!this.#isClosed) return server;
    // The point was closed while the extents were read.
    await server.close();
    throw closedError();
  }

  /** Closes the files of the point. May be called twice. Its disks cannot be read afterwards. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#shared.delete(this);
    await Promise.all([...this.#servers].map((server) => server.close()));
    await this.#view.close();
    if (this.#ownsShared) await this.#shared.close();
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
    return new OpenRepository(await Repository.open(folder), new SharedParts(options));
  } catch (error) {
    throw toFailure(error);
  }
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` */
export function checkCache(cacheBytes: number | undefined): void {
  if (cacheBytes === undefined) return;
  if (Number.isInteger(cacheBytes) && cacheBytes >= 0 && cacheBytes <= MAX_CACHE_BYTES) return;
  throw new UsageError('USAGE_INVALID_OPTION', `cacheBytes: ${cacheBytes} is not 0 B to 4 GiB`, {
    hint: 'leave it out for 64 MiB',
  });
}
