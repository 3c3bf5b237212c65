/** Sessions that stop in the middle: reads of a disk wait until the test lets them go. */
import { EventEmitter, once } from 'node:events';
import type { Lab, LabVm } from '../../../lab/src/index.ts';

export interface HeldReads {
  /** Reads that have come. */
  readonly count: number;
  /** Lets the reads that wait go, and all later ones. */
  release(): void;
}

/** Holds the first reads of the first disk of a VM. */
export function holdReads(lab: Lab, vm: LabVm | undefined, times?: number): HeldReads {
  const gate = new EventEmitter();
  const released = once(gate, 'release');
  const diskId = vm?.disks[0]?.id;
  const match = { server: 'imageio', method: 'GET', path: /\/images\/[^/?]+$/ } as const;
  let count = 0;
  const run = async (): Promise<void> => {
    count++;
    await released;
  };
  lab.faults.add({ ...match, diskId, times }, { run });
  return {
    get count() {
      return count;
    },
    release: () => void gate.emit('release'),
  };
}
