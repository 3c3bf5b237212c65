/** A lab and sessions against it. Scripts use it too: no test framework in here. */
import { deepStrictEqual } from 'node:assert';
import { type Lab, type LabOptions, type LabVm, startLab } from '../../../lab/src/index.ts';
import type { EngineSettings } from '../../../src/ovirt/connection.ts';
import { type OvirtTimings, scaleTimings } from '../../../src/ovirt/timings.ts';
import { backupVms, type BackupVmsOptions } from '../../../src/sessions/backup/backupVms.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { BLOCK_BYTES } from '../bytes/images.ts';
import type { PointContent } from '../repository/imageSessions.ts';

/**
 * Times of the client. The lab scales the engine's times by 0.002. The client's are scaled by 0.01,
 * so that it does not give up early. A busy machine does not reach the deadlines of connections and
 * of the clean-up.
 */
export const LAB_TIMINGS: OvirtTimings = {
  ...scaleTimings(0.01),
  pollMaxMs: 8,
  connectMs: 10_000,
  cleanupMs: 20_000,
};

export class PlainLab {
  readonly lab: Lab;

  private constructor(lab: Lab) {
    this.lab = lab;
  }

  static async start(options: LabOptions = {}): Promise<PlainLab> {
    return new PlainLab(await startLab(options));
  }

  settings(timings: Partial<OvirtTimings> = {}): EngineSettings {
    const { url, username, password, caPem } = this.lab;
    return { url, username, password, caPem, timings: { ...LAB_TIMINGS, ...timings } };
  }

  /** Backs one VM up on the main thread. Throws the error of its session. */
  async backup(
    vm: LabVm,
    repository: string,
    options: Partial<BackupVmsOptions> = {},
  ): Promise<SessionReport> {
    const engine = this.settings();
    const wanted = { engine, vms: [vm.id], repository, workers: 0, ...options };
    const { sessions, failures } = await backupVms(wanted);
    const [session] = sessions;
    if (!session) throw new Error(`no session: ${JSON.stringify(failures)}`);
    return session;
  }

  /** The first session of a VM, with the smallest blocks. */
  async backupFull(vm: LabVm, repository: string): Promise<SessionReport> {
    return await this.backup(vm, repository, { blockSizeBytes: BLOCK_BYTES });
  }

  /** The view that the engine froze for a session: the digest of each disk, by alias. */
  frozenContent(vm: LabVm, report: SessionReport): PointContent {
    const id = report.engine?.backupId ?? '';
    // By id, since several VMs may have disks of the same name.
    const digests = report.disks.map(({ alias, diskId }): [string, string] => [
      alias,
      vm.frozenView(id, diskId).digest(),
    ]);
    return Object.fromEntries(digests);
  }

  /** Nothing of a session is left on the engine. */
  checkNothingLeft(): void {
    deepStrictEqual(this.lab.leftovers(), [], 'nothing is left over on the engine');
  }

  async close(): Promise<void> {
    await this.lab.close();
  }
}
