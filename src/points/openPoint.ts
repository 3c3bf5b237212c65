/** A restore point that is open for reading: of a repository, or of single files. */
import { UsageError } from '../core/errors.ts';
import type { SessionMessage } from '../core/messages.ts';
import { PointLease } from '../repository/lease/pointLease.ts';
import type { ChainMetadata } from '../repository/pointXml.ts';
import type { RestorePoint, VmIdentity } from '../repository/restorePoint.ts';
import { RestorePointView } from '../repository/restorePointView.ts';
import type { VmFolder } from '../repository/vmFolder.ts';
import { findDisk } from '../sessions/shared/selectPoint.ts';
import { type BlockLoader, closedError } from './blockLoader.ts';
import { exportDisks, type ServedPoint, type ServeOptions } from './nbd/exportPoint.ts';
import { PointDisk } from './pointDisk.ts';
import type { DiskServer, ServeDiskOptions } from './pointTypes.ts';
import { allEnded, type SharedParts } from './sharedParts.ts';
import type { StoreFolder } from '../store/store.ts';

/** A restore point and its chain. */
export interface PointSource {
  /** Folder of the VM. */
  readonly folder: StoreFolder;
  readonly metadata: ChainMetadata;
  readonly point: RestorePoint;
  /** Folder in which a server leases the point. */
  readonly vmFolder: VmFolder;
}

export interface ServePointOptions extends ServeOptions {
  /** Gets messages about the lease of the point. */
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
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
      places: shared.places,
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
   * Serves disks over NBD until the server or the point is closed. Meanwhile a lease keeps the
   * files of the point from being pruned or merged.
   *
   * @throws as {@link PointDisk.serveNbd}
   */
  async serveNbd(disks: readonly PointDisk[], options: ServePointOptions): Promise<DiskServer> {
    this.#assertOpen();
    const lease = await this.#lease(options);
    try {
      const server = await exportDisks(disks, this.#served(lease), options);
      this.#servers.add(server);
      if (!this.#isClosed) return server;
      // The point was closed while the extents were read.
      await server.close();
      throw closedError();
    } catch (error) {
      await lease?.release();
      throw error;
    }
  }

  #served(lease: PointLease | undefined): ServedPoint {
    return {
      pointId: this.id,
      onEnd: async (ended) => {
        this.#servers.delete(ended);
        await lease?.release();
      },
    };
  }

  /** Files without a repository are not pruned, so they need no lease. */
  async #lease({ onMessage }: ServePointOptions): Promise<PointLease | undefined> {
    const source = sources.get(this);
    if (!source) return undefined;
    const { vmFolder, point } = source;
    const files = this.#view.members.map((member) => member.point.fileName);
    return await PointLease.take({ folder: vmFolder, point, files, onMessage });
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
      if (this.#ownsShared) await this.#shared.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertOpen(): void {
    if (this.#isClosed) throw closedError();
  }
}

/**
 * The disks that a command names, each of them once; without names all disks.
 *
 * @throws {@link UsageError} as {@link OpenPoint.disk}; `USAGE_NOT_FOUND` for a point without disks
 */
export function chooseDisks(point: OpenPoint, names: readonly string[]): PointDisk[] {
  const wanted = names.length > 0 ? names.map((name) => point.disk(name)) : point.disks;
  if (wanted.length > 0) return [...new Set(wanted)];
  throw new UsageError('USAGE_NOT_FOUND', `restore point ${point.id} has no disks`, {
    hint: '"ovirt-cbt list" shows the disks of each restore point',
  });
}
