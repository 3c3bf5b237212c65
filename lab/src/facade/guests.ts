/**
 * Guests that write between backups, for demonstrations: without writes, a second backup finds no
 * change.
 */
import { KIB } from '../units.ts';
import type { Lab, LabDisk, LabVm } from '../types.ts';

const PAGE_BYTES: number = 4 * KIB;
/** Places of a disk that take the log in turn. So the writes of many rounds stay few. */
const LOG_PLACES = 16;
const LOG_BYTES: number = 48 * KIB;

function page(text: string, lengthBytes: number): Buffer {
  return Buffer.alloc(lengthBytes, `${text}\n`);
}

/** A log that grows, and a page that is written again and again. */
function writeRound(disk: LabDisk, round: number): void {
  const text = `${disk.name}: written by the guest after backup ${round}`;
  const strideBytes = Math.floor(disk.sizeBytes / LOG_PLACES / PAGE_BYTES) * PAGE_BYTES;
  const lengthBytes = Math.min(LOG_BYTES, strideBytes);
  disk.write((round % LOG_PLACES) * strideBytes, page(`log ${text}`, lengthBytes));
  if (disk.sizeBytes >= 2 * PAGE_BYTES) disk.write(PAGE_BYTES, page(text, PAGE_BYTES));
}

function watch(lab: Lab, vm: LabVm): void {
  let round = 0;
  const path = new RegExp(`/vms/${vm.id}/backups/[^/]+/finalize`);
  lab.faults.add(
    { server: 'engine', method: 'POST', path },
    {
      run: () => {
        if (vm.status !== 'up') return;
        round++;
        for (const disk of vm.disks) writeRound(disk, round);
      },
    },
  );
}

/**
 * From now on the guests of the VMs that the lab has write a little at the end of each of their
 * backups: at most 52 KiB per disk, always the same for the same number of backups. A VM that is
 * not up writes nothing. `lab.faults.clear()` ends it.
 */
export function letGuestsWrite(lab: Lab): void {
  for (const vm of lab.vms) watch(lab, vm);
}
