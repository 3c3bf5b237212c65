/**
 * State of each cluster of an overlay, in memory and as sectors of a file.
 *
 * A sector has a CRC-32C and the states of 2032 clusters, two bits each. A sector that was never
 * written is a hole of the file, and all its clusters are those of the point. Disks write a sector
 * whole or not at all, so a power cut leaves the old or the new states.
 */
import { crc32c } from '../../core/crc32.ts';
import { IntegrityError } from '../../core/errors.ts';
import { KIB } from '../../core/units.ts';

export const CLUSTER_BYTES: number = 64 * KIB;

/** Where the bytes of a cluster are: in the point, in the overlay, or nowhere (zeros). */
export const CLUSTER = { base: 0, data: 1, zero: 2 } as const;
export type ClusterState = (typeof CLUSTER)[keyof typeof CLUSTER];
const STATES: readonly ClusterState[] = [CLUSTER.base, CLUSTER.data, CLUSTER.zero];

export const SECTOR_BYTES = 512;
const CRC_BYTES = 4;
const STATES_PER_BYTE = 4;
const STATE_BITS = 2;
const STATE_MASK = 3;
const CLUSTERS_PER_SECTOR = (SECTOR_BYTES - CRC_BYTES) * STATES_PER_BYTE;
const UNTOUCHED = Buffer.alloc(SECTOR_BYTES);

/** Neighbouring clusters of one state: `[first, end)`. */
export interface ClusterRun {
  readonly first: number;
  readonly end: number;
  readonly state: ClusterState;
}

/** A sector as the file has it. */
export interface MapSector {
  readonly index: number;
  readonly bytes: Buffer;
}

/** Memory grows with the sectors that were touched, not with the size of the disk. */
export class ClusterMap {
  readonly clusterCount: number;
  readonly sectorCount: number;
  readonly #sectors = new Map<number, Uint8Array>();
  /** Sectors that the file does not have yet. */
  readonly #changed = new Set<number>();

  constructor(clusterCount: number) {
    this.clusterCount = clusterCount;
    this.sectorCount = Math.ceil(clusterCount / CLUSTERS_PER_SECTOR);
  }

  get hasChanges(): boolean {
    return this.#changed.size > 0;
  }

  state(cluster: number): ClusterState {
    const sector = this.#sectors.get(Math.floor(cluster / CLUSTERS_PER_SECTOR));
    return sector ? stateIn(sector, cluster % CLUSTERS_PER_SECTOR) : CLUSTER.base;
  }

  set(first: number, end: number, state: ClusterState): void {
    for (let cluster = first; cluster < end; cluster++) {
      if (this.state(cluster) !== state) this.#set(cluster, state);
    }
  }

  /** Clusters of `[first, end)` as runs. Sectors that nobody touched cost one step each. */
  *runs(first: number, end: number): Generator<ClusterRun> {
    for (let at = first; at < end; ) {
      const state = this.state(at);
      let stop = at;
      while (stop < end && this.state(stop) === state) stop = Math.min(end, this.#next(stop));
      yield { first: at, end: stop, state };
      at = stop;
    }
  }

  /** Runs of clusters that the overlay has. */
  *changedRuns(): Generator<ClusterRun> {
    for (const index of this.#sectors.keys()) {
      const first = index * CLUSTERS_PER_SECTOR;
      const end = Math.min(this.clusterCount, first + CLUSTERS_PER_SECTOR);
      for (const run of this.runs(first, end)) if (run.state !== CLUSTER.base) yield run;
    }
  }

  /** Copies of the sectors that the file lacks, ascending. They count as written from now on. */
  takeChanged(): MapSector[] {
    const indexes = [...this.#changed].sort((a, b) => a - b);
    this.#changed.clear();
    return indexes.map((index) => ({ index, bytes: this.#encode(index) }));
  }

  /** Sectors that could not be written. The next {@link takeChanged} gives them again. */
  putBack(sectors: readonly MapSector[]): void {
    for (const { index } of sectors) this.#changed.add(index);
  }

  /**
   * Takes a sector from the file.
   *
   * @throws {@link IntegrityError} `INTEGRITY_CRC_MISMATCH` for a sector that is damaged
   */
  load(index: number, bytes: Buffer): void {
    if (bytes.equals(UNTOUCHED)) return;
    const states = Uint8Array.from(bytes.subarray(CRC_BYTES));
    if (bytes.readUInt32LE(0) !== checksum(index, states) || !this.#isSound(index, states)) {
      throw new IntegrityError('INTEGRITY_CRC_MISMATCH', `sector ${index} is damaged`);
    }
    this.#sectors.set(index, states);
  }

  #set(cluster: number, state: ClusterState): void {
    const index = Math.floor(cluster / CLUSTERS_PER_SECTOR);
    let sector = this.#sectors.get(index);
    if (!sector) {
      sector = new Uint8Array(SECTOR_BYTES - CRC_BYTES);
      this.#sectors.set(index, sector);
    }
    const at = cluster % CLUSTERS_PER_SECTOR;
    const byte = Math.floor(at / STATES_PER_BYTE);
    const shift = (at % STATES_PER_BYTE) * STATE_BITS;
    sector[byte] = ((sector[byte] ?? 0) & ~(STATE_MASK << shift)) | (state << shift);
    this.#changed.add(index);
  }

  /** The next cluster whose state may differ. */
  #next(cluster: number): number {
    const index = Math.floor(cluster / CLUSTERS_PER_SECTOR);
    return this.#sectors.has(index) ? cluster + 1 : (index + 1) * CLUSTERS_PER_SECTOR;
  }

  #encode(index: number): Buffer {
    const bytes = Buffer.alloc(SECTOR_BYTES);
    const states = this.#sectors.get(index) ?? new Uint8Array(SECTOR_BYTES - CRC_BYTES);
    bytes.writeUInt32LE(checksum(index, states), 0);
    bytes.set(states, CRC_BYTES);
    return bytes;
  }

  /** Each state is one of the three, and no cluster lies beyond the disk. */
  #isSound(index: number, states: Uint8Array): boolean {
    const room = this.clusterCount - index * CLUSTERS_PER_SECTOR;
    for (let at = 0; at < CLUSTERS_PER_SECTOR; at++) {
      const bits = bitsIn(states, at);
      if (bits >= STATES.length || (at >= room && bits !== CLUSTER.base)) return false;
    }
    return true;
  }
}

/** The number of a sector is part of its checksum, so a sector at a wrong place is found. */
function checksum(index: number, states: Uint8Array): number {
  const place = Buffer.alloc(8);
  place.writeBigUInt64LE(BigInt(index));
  return crc32c(states, crc32c(place));
}

function bitsIn(sector: Uint8Array, at: number): number {
  const byte = sector[Math.floor(at / STATES_PER_BYTE)] ?? 0;
  return (byte >> ((at % STATES_PER_BYTE) * STATE_BITS)) & STATE_MASK;
}

function stateIn(sector: Uint8Array, at: number): ClusterState {
  return STATES[bitsIn(sector, at)] ?? CLUSTER.base;
}
