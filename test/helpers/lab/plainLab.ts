/** A lab and sessions against it, for scripts too: no test framework in here. */
import { deepStrictEqual } from 'node:assert';
import { type Lab, type LabOptions, type LabVm, startLab } from '../../../lab/src/index.ts';
import type { EngineSettings } from '../../../src/ovirt/connection.ts';
import { type OvirtTimings, scaleTimings } from '../../../src/ovirt/timings.ts';
import { backupVms, type BackupVmsOptions } from '../../../src/sessions/backup/backupVms.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { BLOCK_BYTES } from '../bytes/images.ts';
import type { PointContent } from '../repository/imageSessions.ts';

/** The client's times against a lab that is quicker than an engine; deadlines as they were, for busy machines. */
const TIMINGS: OvirtTimings = {
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
    return { url, username, password, caPem, timings: { ...TIMINGS, ...timings } };
  }

  /** Backs one VM up on the main thread; throws what its session ended with. */
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

  /** What a session froze: the digest of each disk, by alias. */
  frozenContent(vm: LabVm, report: SessionReport): PointContent {
    const id = report.engine?.backupId ?? '';
    // By id, since several VMs may have disks of the same name.
    const digests = report.disks.map(({ alias, diskId }): [string, string] => [
      alias,
      vm.frozenView(id, diskId).digest(),
    ]);
    return Object.fromEntries(digests);
  }

  checkNothingLeft(): void {
    deepStrictEqual(this.lab.leftovers(), [], 'nothing is left over on the engine');
  }

  async close(): Promise<void> {
    await this.lab.close();
  }
}
