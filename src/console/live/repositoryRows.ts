/** Fill and growth of repositories. A listing takes time, so it is kept for some minutes. */
import { toFailure } from '../../core/errors.ts';
import type { RepositoryConfig } from '../../jobs/jobFile.ts';
import type { Repository } from '../../repository/repository.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import { forEachLimited } from '../../sessions/shared/pipelineResources.ts';
import type { RepositoryRow } from '../contract.ts';
import type { RepositoryAccess } from './repositoryAccess.ts';

const VALID_MS = 5 * 60_000;
/** A page waits so long for a listing. After that it gets what was known before. */
const PAGE_WAIT_MS = 3000;
const PARALLEL_READS = 8;

type SizedPoint = Pick<RestorePoint, 'createdAt' | 'fileBytes'>;

interface Listing {
  row: RepositoryRow;
  /** `-Infinity` when it is to be read again. */
  readAtMs: number;
  reading: Promise<void> | undefined;
}

export interface RowsOptions {
  readonly access: RepositoryAccess;
  readonly nowMs: () => number;
  /** @defaultValue 3 seconds */
  readonly pageWaitMs?: number | undefined;
}

/** Size at the end of each day that has points, oldest first. Days are in UTC. Pure. */
export function growthOf(points: readonly SizedPoint[]): RepositoryRow['growth'] {
  const bytesOfDay = new Map<string, number>();
  for (const { createdAt, fileBytes } of points) {
    const day = createdAt.slice(0, 10);
    bytesOfDay.set(day, (bytesOfDay.get(day) ?? 0) + fileBytes);
  }
  let storedBytes = 0;
  return [...bytesOfDay.keys()].toSorted().map((day) => {
    storedBytes += bytesOfDay.get(day) ?? 0;
    return { day, storedBytes };
  });
}

function emptyRow({ name, place }: RepositoryConfig, problem: string): RepositoryRow {
  return { name, place, vmCount: 0, pointCount: 0, storedBytes: 0, growth: [], problem };
}

async function readRow(
  { name, place }: RepositoryConfig,
  repository: Repository,
): Promise<RepositoryRow> {
  const points: SizedPoint[] = [];
  const bad: string[] = [];
  let vmCount = 0;
  await forEachLimited(await repository.vmFolders(), PARALLEL_READS, async (folder) => {
    try {
      const metadata = await folder.readMetadata();
      if (metadata) vmCount++;
      points.push(...(metadata?.points ?? []));
    } catch (error) {
      bad.push(`${folder.safeName}: ${toFailure(error).code}`);
    }
  });
  const [first] = bad;
  return {
    name,
    place,
    vmCount,
    pointCount: points.length,
    storedBytes: points.reduce((sum, { fileBytes }) => sum + fileBytes, 0),
    freeBytes: await repository.store.root.freeBytes(),
    growth: growthOf(points),
    ...(first === undefined
      ? {}
      : { problem: `folders of VMs that cannot be read: ${bad.length}, such as ${first}` }),
  };
}

export class RepositoryRows {
  readonly #options: RowsOptions;
  readonly #listings = new Map<string, Listing>();

  constructor(options: RowsOptions) {
    this.#options = options;
  }

  /**
   * A row for each repository. One that does not answer has a `problem`, and keeps the numbers that
   * were known before.
   */
  async rows(configs: readonly RepositoryConfig[]): Promise<RepositoryRow[]> {
    return await Promise.all(configs.map(async (config) => await this.#row(config)));
  }

  /** Points were added or removed there. */
  refresh(place: string): void {
    const listing = this.#listings.get(place);
    if (listing) listing.readAtMs = -Infinity;
  }

  async #row(config: RepositoryConfig): Promise<RepositoryRow> {
    const { place } = config;
    const { nowMs, pageWaitMs = PAGE_WAIT_MS } = this.#options;
    const known = this.#listings.get(place);
    const listing = known ?? {
      row: emptyRow(config, 'it has not answered yet'),
      readAtMs: -Infinity,
      reading: undefined,
    };
    this.#listings.set(place, listing);
    if (nowMs() - listing.readAtMs > VALID_MS) listing.reading ??= this.#read(config, listing);
    if (listing.reading) await waitAtMost(listing.reading, pageWaitMs);
    return { ...listing.row, name: config.name };
  }

  /** Never rejects. */
  async #read(config: RepositoryConfig, listing: Listing): Promise<void> {
    const startedAtMs = this.#options.nowMs();
    // A run may end while its repository is read.
    listing.readAtMs = startedAtMs;
    try {
      const work = async (repository: Repository) => await readRow(config, repository);
      listing.row = await this.#options.access.use(config, work);
    } catch (error) {
      const { message, code } = toFailure(error);
      listing.row = { ...listing.row, problem: `${message} (${code})` };
    } finally {
      listing.reading = undefined;
    }
  }
}

async function waitAtMost(work: Promise<void>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([work, limit]);
  clearTimeout(timer);
}
