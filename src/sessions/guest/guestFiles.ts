/** Reads single files out of the file systems on the disks of a restore point. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { IntegrityError, OutputError, throwIfCancelled, UsageError } from '../../core/errors.ts';
import { type Logger, silentLogger } from '../../core/log.ts';
import { chooseDisks, type OpenPoint } from '../../points/openPoint.ts';
import { openRepository } from '../../points/openRepository.ts';
import type { PointDisk } from '../../points/pointDisk.ts';
import type { DiskServer } from '../../points/pointTypes.ts';
import { type CopiedFiles, type CopyPlan, copyOut } from './copyOut.ts';
import { Guestfish } from './guestfish.ts';
import { bytesOf, quotedList } from './guestfishLanguage.ts';
import { mountGuest } from './guestMounts.ts';
import { type GuestEntry, GuestTree } from './guestTree.ts';
import type { StoreOptions } from '../../store/store.ts';

export interface GuestFilesOptions {
  readonly repository: string;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
  /** VM name or id. */
  readonly vm: string;
  /** Number or id of the point, the beginning of its id, or `latest`. */
  readonly point: string;
  /** Disk ids or aliases. @defaultValue all disks */
  readonly disks?: readonly string[] | undefined;
  /** Mount only this one, such as `/dev/sda1`. */
  readonly fileSystem?: string | undefined;
  readonly signal: AbortSignal;
  readonly logger?: Logger | undefined;
  /** Gets what the session does, and which file systems are not mounted. */
  readonly onStatus: (text: string) => void;
  /** Gets the text of each read that failed. */
  readonly onProblem: (text: string) => void;
}

/** The restore point whose files are read. */
export interface GuestPoint {
  readonly vmName: string;
  readonly pointId: string;
  readonly pointNumber: number;
}

/** Files of a guest, while its appliance runs. */
export interface GuestFiles {
  readonly point: GuestPoint;
  /** Files of a folder, or the one file that the path names. */
  list(guestFile: string): Promise<GuestEntry[]>;
  /** Files that fit a pattern with `*` and `?`. */
  search(pattern: string): Promise<GuestEntry[]>;
  copy(plan: CopyPlan, output: string): Promise<CopiedFiles>;
}

export interface GuestFilesResult<T> {
  readonly value: T;
  /** Reads of damaged blocks, although the work was done. */
  readonly failures: number;
}

/**
 * Serves the disks on private sockets, starts the appliance, mounts the file systems read-only, and
 * ends all of it after `work`.
 *
 * @throws {@link UsageError} `TOOL_MISSING`; {@link OutputError} `TOOL_FAILED`;
 *   {@link IntegrityError} `INTEGRITY_DAMAGE_FOUND` when damaged blocks made the work fail
 */
export async function withGuestFiles<T>(
  options: GuestFilesOptions,
  work: (files: GuestFiles) => Promise<T>,
): Promise<GuestFilesResult<T>> {
  const { signal, vm } = options;
  await using repository = await openRepository(options.repository, { store: options.store });
  const point = await repository.point(vm, options.point);
  throwIfCancelled(signal);
  const folder = await mkdtemp(path.join(tmpdir(), 'ovirt-cbt-files-'));
  const servers: DiskServer[] = [];
  const failures = (): number => servers.reduce((sum, { served }) => sum + served.failures, 0);
  try {
    const disks = chooseDisks(point, options.disks ?? []);
    const sockets = await serveDisks(point, folder, servers, disks, options);
    const names = disks.map(({ alias }) => alias);
    const value = await withAppliance(point, folder, { sockets, names }, options, work);
    return { value, failures: failures() };
  } catch (error) {
    throw failures() > 0 ? damaged(error) : error;
  } finally {
    await Promise.all(servers.map((server) => server.close()));
    await rm(folder, { recursive: true, force: true });
  }
}

/** Damage in a file system has many faces: it is not found, not mounted, or a file is not read. */
function damaged(error: unknown): unknown {
  const isOfGuest =
    error instanceof UsageError || (error instanceof OutputError && error.code === 'TOOL_FAILED');
  if (!isOfGuest) return error;
  return new IntegrityError('INTEGRITY_DAMAGE_FOUND', `damaged blocks: ${error.message}`, {
    cause: error,
    hint: 'run "ovirt-cbt verify", and read the files from another restore point',
  });
}

/** Each disk has a server of its own, so its name need not pass through the drivers of QEMU. */
async function serveDisks(
  point: OpenPoint,
  folder: string,
  servers: DiskServer[],
  disks: readonly PointDisk[],
  { signal, onProblem }: GuestFilesOptions,
): Promise<string[]> {
  const sockets: string[] = [];
  for (const disk of disks) {
    const socket = path.join(folder, `disk${sockets.length}`);
    servers.push(await point.serveNbd([disk], { address: { socket }, onProblem, signal }));
    sockets.push(socket);
  }
  return sockets;
}

async function withAppliance<T>(
  point: OpenPoint,
  folder: string,
  { sockets, names }: { readonly sockets: readonly string[]; readonly names: readonly string[] },
  options: GuestFilesOptions,
  work: (files: GuestFiles) => Promise<T>,
): Promise<T> {
  const { signal, onStatus, logger = silentLogger, fileSystem } = options;
  const onStderr = (text: string): void => logger.debug({ text }, 'guestfish');
  await using fish = await Guestfish.start({ folder, signal, onStderr });
  onStatus('starting the appliance of libguestfs, which takes some seconds');
  for (const socket of sockets) {
    const server = quotedList([`unix:${bytesOf(socket)}`], 'server');
    await fish.run(`add-drive "" readonly:true format:raw protocol:nbd ${server}`);
  }
  await startAppliance(fish);
  const device = fileSystem === undefined ? undefined : bytesOf(fileSystem);
  await mountGuest(fish, device, names, onStatus);
  const tree = new GuestTree(fish, folder);
  return await work({
    point: { vmName: point.vmName, pointId: point.id, pointNumber: point.number },
    list: (guestFile) => tree.list(guestFile),
    search: (pattern) => tree.search(pattern),
    copy: (plan, output) => copyOut(fish, tree, plan, output),
  });
}

async function startAppliance(fish: Guestfish): Promise<void> {
  try {
    await fish.run('run');
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    throw new OutputError(error.code, error.message, {
      cause: error,
      hint: applianceHint(error.message),
    });
  }
}

const FORCE_TCG = 'LIBGUESTFS_BACKEND_SETTINGS=force_tcg';

function applianceHint(text: string): string {
  const more = 'LIBGUESTFS_DEBUG=1 with --log-level debug tells more';
  // supermin builds the appliance from the kernel and the programs of this machine.
  if (text.includes('supermin')) {
    return `the appliance needs a Linux kernel in /boot that the user may read (Debian: linux-image-amd64); ${more}`;
  }
  const isForced = (process.env['LIBGUESTFS_BACKEND_SETTINGS'] ?? '').includes('force_tcg');
  return isForced ? more : `${FORCE_TCG} does without KVM; ${more}`;
}
