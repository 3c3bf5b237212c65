/**
 * Sessions over a VM of an engine, and over an image. For child processes: the engine is not
 * measured.
 */
import {
  backupImages,
  backupVms,
  type EngineSettings,
  type ProgressEvent,
  restoreImages,
  verifyRepository,
} from '../src/index.ts';
import { type ThreadGroup, ThreadWatch } from './threadShares.ts';

export interface SessionArgument {
  readonly engine: EngineSettings;
  readonly vm: string;
  readonly repository: string;
  readonly workers: number;
  readonly connections?: number | undefined;
  /** Of a sealed repository. */
  readonly keyFile?: string | undefined;
}

export interface SessionAnswer {
  readonly checksum: string;
  /** From the first extent until the commit of the container. */
  readonly seconds: number;
  /** The whole session: login, freeze, transfer, merge of the snapshot. */
  readonly sessionSeconds: number;
  readonly readBytes: number;
  readonly changedBytes: number;
  readonly mode: string;
  /** From the start until the end of the reading. Empty without the preload threadProbe. */
  readonly threads: readonly ThreadGroup[];
}

/** Watches the threads while the disk is read. They end soon after. */
class ReadingWatch {
  readonly #watch: ThreadWatch | undefined;
  groups: readonly ThreadGroup[] = [];

  constructor(namesFile: string | undefined) {
    if (namesFile !== undefined) this.#watch = new ThreadWatch(namesFile);
  }

  onProgress({ type }: ProgressEvent): void {
    if (type === 'diskStarted') this.#watch?.start();
    if (type === 'diskEnded') this.groups = this.#watch?.stop() ?? [];
  }
}

export async function session(given: SessionArgument): Promise<SessionAnswer> {
  const { engine, vm, repository, workers, connections, keyFile } = given;
  const watch = new ReadingWatch(process.env['BENCH_THREADS']);
  const onProgress = (event: ProgressEvent): void => watch.onProgress(event);
  const store = { keyFile };
  const options = { engine, vms: [vm], repository, store, workers, connections, onProgress };
  const job = await backupVms(options);
  const [report] = job.sessions;
  const disk = report?.disks[0];
  if (!report || !disk) throw new Error(JSON.stringify(job.failures));
  return {
    checksum: `${disk.readBytes} ${disk.changedBytes} ${disk.storedBytes}`,
    seconds: disk.wallSeconds + report.commitSeconds,
    sessionSeconds: report.durationSeconds,
    readBytes: disk.readBytes,
    changedBytes: disk.changedBytes,
    mode: disk.mode,
    threads: watch.groups,
  };
}

/** Verifies all points of a repository. */
export async function verify(given: {
  readonly repository: string;
  readonly workers: number;
}): Promise<{ readonly checksum: string; readonly plainBytes: number }> {
  const { repository, workers } = given;
  const { damage, files } = await verifyRepository({ repository, point: 'all', workers });
  if (damage.length > 0) throw new Error(JSON.stringify(damage));
  const plainBytes = files.reduce((sum, file) => sum + file.plainBytes, 0);
  return { checksum: 'tested', plainBytes };
}

/** Restores the newest point of a repository that {@link imageSession} made. */
export async function restoreSession(given: {
  readonly repository: string;
  readonly output: string;
  readonly workers: number;
}): Promise<{ readonly checksum: string }> {
  await restoreImages({ ...given, vm: 'bench' });
  return { checksum: 'restored' };
}

/** Makes a full of an image with the library. */
export async function imageSession(given: {
  readonly image: string;
  readonly repository: string;
  readonly workers: number;
}): Promise<{ readonly checksum: string }> {
  const { image, repository, workers } = given;
  const report = await backupImages({ images: [image], vmName: 'bench', repository, workers });
  const [disk] = report.disks;
  return { checksum: `${disk?.changedBytes} ${disk?.storedBytes}` };
}
