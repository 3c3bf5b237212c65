/**
 * For tests that draw at random: troubles of a VM between sessions, guest writes, faults of
 * servers.
 */
import type {
  Lab,
  LabAction,
  LabDisk,
  LabFault,
  LabMatch,
  LabView,
  LabVm,
} from '../../../lab/src/index.ts';
import { type OvirtTimings, scaleTimings } from '../../../src/ovirt/timings.ts';
import type { SessionMode } from '../../../src/sessions/backup/parent/parentChoice.ts';
import { noise, prose } from '../bytes/random.ts';

export const TROUBLES = [
  'none',
  'full requested',
  'checkpoint removed',
  'checkpoint invalid',
  'bitmaps broken',
  'checkpoint refused',
  'change map refused',
  'attached again',
  'grown',
  'cut',
  'added',
  'removed',
] as const;

export type Trouble = (typeof TROUBLES)[number];

/** A trouble that has been made. */
export interface MadeTrouble {
  readonly mode: SessionMode;
  /** Ends a trouble that would last longer than the next session. */
  readonly end: () => void;
}

const ENDED: MadeTrouble = { mode: 'auto', end: () => {} };
const GROWTH_BYTES = 300_032;
const SMALLEST_BYTES = 2 * GROWTH_BYTES;

/** Makes a trouble. `disk` is the disk of a trouble that concerns one disk. */
export function makeTrouble(trouble: Trouble, lab: Lab, vm: LabVm, disk: LabDisk): MadeTrouble {
  if (trouble === 'full requested') return { mode: 'full', end: () => {} };
  if (trouble === 'checkpoint refused') {
    lab.behaviour.redefineFails = true;
    return { mode: 'auto', end: () => void (lab.behaviour.redefineFails = false) };
  }
  if (trouble === 'change map refused') {
    const fault = refuseChangeMap(lab, disk);
    return { mode: 'auto', end: () => lab.faults.remove(fault) };
  }
  if (trouble === 'checkpoint removed') vm.revertSnapshot('removed');
  if (trouble === 'checkpoint invalid') vm.revertSnapshot('invalid');
  if (trouble === 'bitmaps broken') disk.breakBitmaps();
  if (trouble === 'attached again' || trouble === 'removed') vm.detachDisk(disk.id);
  if (trouble === 'attached again') vm.attachDisk(disk.id);
  if (trouble === 'grown') disk.resize(disk.sizeBytes + GROWTH_BYTES);
  if (trouble === 'cut' && disk.sizeBytes > SMALLEST_BYTES) {
    disk.resize(disk.sizeBytes - GROWTH_BYTES);
  }
  if (trouble === 'added') addDisk(vm);
  return ENDED;
}

function refuseChangeMap(lab: Lab, disk: LabDisk): LabFault {
  const path = /extents\?context=dirty/;
  const body = 'Ticket does not support dirty extents';
  return lab.faults.add({ server: 'imageio', path, diskId: disk.id }, { status: 404, body });
}

function addDisk(vm: LabVm): void {
  const name = `disk${vm.disks.length}-${vm.disks.at(-1)?.id.slice(0, 4) ?? 'first'}`;
  vm.addDisk({ name, sizeBytes: SMALLEST_BYTES }).write(1000, noise(1, 100_000));
}

export const FILLS = ['noise', 'prose', 'zero', 'same'] as const;

/** A guest's write. The part beyond the end of the disk is left out. */
export interface Edit {
  readonly fill: (typeof FILLS)[number];
  readonly seed: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** @returns the range that was written, empty beyond the end of the disk. */
export function applyEdit(disk: LabDisk, edit: Edit): Range {
  const { fill, seed, offsetBytes } = edit;
  const lengthBytes = Math.max(0, Math.min(edit.lengthBytes, disk.sizeBytes - offsetBytes));
  if (lengthBytes === 0) return { offsetBytes, lengthBytes };
  if (fill === 'zero') disk.zero(offsetBytes, lengthBytes);
  if (fill === 'same') disk.write(offsetBytes, disk.read(offsetBytes, lengthBytes));
  if (fill === 'noise') disk.write(offsetBytes, noise(seed, lengthBytes));
  if (fill === 'prose') disk.write(offsetBytes, prose(seed, lengthBytes));
  return { offsetBytes, lengthBytes };
}

export interface Range {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

const BITMAP_GRANULE_BYTES = 64 * 1024;

/** Bytes of the wanted container blocks of a view that hold any data. */
function sumBlocks(
  view: LabView,
  blockBytes: number,
  isWanted: (offsetBytes: number, endBytes: number) => boolean,
): number {
  let sum = 0;
  for (let at = 0; at < view.sizeBytes; at += blockBytes) {
    const lengthBytes = Math.min(blockBytes, view.sizeBytes - at);
    const hasData = view.read(at, lengthBytes).some((byte) => byte !== 0);
    if (hasData && isWanted(at, at + lengthBytes)) sum += lengthBytes;
  }
  return sum;
}

/** Bytes of written data, rounded to blocks: the most that a full may read. */
export function writtenBlockBytes(view: LabView, blockBytes: number): number {
  return sumBlocks(view, blockBytes, () => true);
}

/**
 * Bytes of data blocks that a bitmap of `writes` has dirty: the most that an increment may read.
 */
export function dirtyBlockBytes(
  view: LabView,
  blockBytes: number,
  writes: readonly Range[],
): number {
  const granules = writes
    .filter(({ lengthBytes }) => lengthBytes > 0)
    .map(({ offsetBytes, lengthBytes }) => ({
      from: Math.floor(offsetBytes / BITMAP_GRANULE_BYTES) * BITMAP_GRANULE_BYTES,
      to: Math.ceil((offsetBytes + lengthBytes) / BITMAP_GRANULE_BYTES) * BITMAP_GRANULE_BYTES,
    }));
  return sumBlocks(view, blockBytes, (offsetBytes, endBytes) =>
    granules.some(({ from, to }) => from < endBytes && to > offsetBytes),
  );
}

const IMAGE = { server: 'imageio', method: 'GET' } as const;
const READ = { server: 'engine', method: 'GET' } as const;
const CHANGE = { server: 'engine', method: 'POST', path: /\/(backups|imagetransfers)\b/ } as const;
const STORAGE_ERROR = 'Server failed to perform the request, check logs for details.';

/** Faults, each with its chance to meet a request. */
export const RANDOM_FAULTS: readonly (readonly [LabMatch, LabAction, number])[] = [
  [IMAGE, { reset: true }, 0.02],
  [IMAGE, { status: 500, body: STORAGE_ERROR }, 0.02],
  [IMAGE, { cutAfterBytes: 1000 }, 0.02],
  [IMAGE, { dropTicket: true }, 0.01],
  [IMAGE, { hang: true }, 0.003],
  [READ, { status: 503, body: '<html>Service Unavailable</html>' }, 0.02],
  [READ, { reset: true }, 0.02],
  [READ, { hang: true }, 0.001],
  [CHANGE, { cutAfterBytes: 0 }, 0.03],
  [CHANGE, { status: 503, body: '<html>Service Unavailable</html>' }, 0.01],
];

/** Short deadlines, since some requests are never answered. */
export const FAULTY_TIMINGS: OvirtTimings = {
  ...scaleTimings(0.003),
  connectMs: 5000,
  pollMaxMs: 8,
  imageioReadMs: 1000,
  imageioExtentsMs: 1000,
  restReadMs: 1500,
  restSlowReadMs: 1500,
  getRetryWindowMs: 10_000,
  cleanupMs: 20_000,
};
