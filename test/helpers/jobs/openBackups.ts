/** Backups that are open at the same time. */
import type { Lab, LabVm } from '../../../lab/src/index.ts';

/** The most backups that were open at once, as the lab saw them. */
export class OpenBackups {
  #now = 0;
  most = 0;

  /** Counts the backups of these VMs. */
  constructor({ faults }: Pick<Lab, 'faults'>, vms: readonly LabVm[]) {
    for (const { id } of vms) {
      const start = {
        server: 'engine',
        method: 'POST',
        path: new RegExp(`/vms/${id}/backups(\\?|$)`),
      };
      const end = {
        server: 'engine',
        method: 'POST',
        path: new RegExp(`/vms/${id}/backups/.*/finalize`),
      };
      faults.add(start as never, { run: () => this.#count(1) });
      faults.add(end as never, { run: () => this.#count(-1) });
    }
  }

  #count(change: number): void {
    this.#now += change;
    this.most = Math.max(this.most, this.#now);
  }
}
