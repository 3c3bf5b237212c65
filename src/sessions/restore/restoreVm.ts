/**
 * Restores a point to a new VM of an engine: disks, uploads, configuration. Other VMs and disks
 * stay as they are.
 */
import { toFailure } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import type { EngineSettings } from '../../ovirt/connection.ts';
import { EngineApi } from '../../ovirt/engine/engineApi.ts';
import { createBlockCodecs } from '../../compute/blockCodecs.ts';
import { Journal, restoreJournalName } from '../../repository/journal.ts';
import { Repository } from '../../repository/repository.ts';
import { RestorePointView } from '../../repository/restorePointView.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import { keepReportOf, type StartedSession, startSession } from '../history/keepReport.ts';
import { type ProgressEvent, SessionProgress } from '../shared/progress.ts';
import { createdOnEngine, removeCreated } from '../cleanup/restoreCleanup.ts';
import { checkConnections, PipelineResources } from '../shared/pipelineResources.ts';
import { selectDisks, selectPoint } from '../shared/selectPoint.ts';
import { postSessionEvent } from '../shared/sessionEvents.ts';
import { SessionLog } from '../shared/sessionLog.ts';
import type { MacChoice, RestoredNic } from './restoreNics.ts';
import { checkNameFree, checkNewVmName, findTarget } from './restoreTarget.ts';
import type { TargetFormat } from './targetDisk.ts';
import { type UploadedDisk, VmBuilder } from './vmBuilder.ts';
import type { StoreOptions } from '../../store/store.ts';
import { placeOptions } from '../shared/startRepository.ts';

export interface RestoreVmOptions {
  readonly engine: EngineSettings;
  readonly repository: string;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
  /** VM name or id in the repository. */
  readonly vm: string;
  /** Number or id of the point, the beginning of its id, or `latest`. @defaultValue latest */
  readonly point?: string | undefined;
  /** Disk ids or aliases. @defaultValue all disks */
  readonly disks?: readonly string[] | undefined;
  /** Name of the new VM; it must not exist. */
  readonly asVm: string;
  /** Name or id. */
  readonly storageDomain: string;
  /** Name or id. @defaultValue the engine's only cluster */
  readonly cluster?: string | undefined;
  /**
   * MAC addresses of the new VM. @defaultValue `new` when the VM that was backed up exists on this
   * engine, otherwise `keep`
   */
  readonly macs?: MacChoice | undefined;
  /** @defaultValue same */
  readonly format?: TargetFormat | undefined;
  readonly workers?: number | undefined;
  /** Data requests per disk at the same time. @defaultValue 4 */
  readonly connections?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  readonly onStatus?: ((text: string) => void) | undefined;
}

export interface RestoreVmReport {
  readonly type: 'restore-vm';
  readonly vmName: string;
  readonly pointId: string;
  readonly pointNumber: number;
  readonly newVmName: string;
  readonly newVmId: string;
  /** Whether the saved configuration was imported. Otherwise the VM has default hardware. */
  readonly hasConfiguration: boolean;
  /** How the MAC addresses were chosen. The true addresses are in `nics`. */
  readonly macs: MacChoice;
  /** Network cards of the saved configuration that had a MAC address. */
  readonly nics: readonly RestoredNic[];
  readonly durationSeconds: number;
  readonly disks: readonly UploadedDisk[];
  readonly messages: readonly SessionMessage[];
}

/**
 * Restores a point to a new VM, which stays powered off. Every block is checked before it is sent.
 * The server's checksum of each new disk is compared, where it offers one. After a failure all new
 * disks and the new VM are removed; the journal keeps what could not be removed.
 *
 * @throws a {@link BackupError}; see docs/errors.md
 */
export async function restoreVm(options: RestoreVmOptions): Promise<RestoreVmReport> {
  checkNewVmName(options.asVm);
  checkConnections(options.connections);
  const started = startSession('restore');
  const facts = { sessionId: started.sessionId, vmName: options.asVm };
  const session = new SessionLog(options, facts);
  const progress = new SessionProgress(options, session.log, facts);
  return await progress.session(async () => {
    progress.phase('preparing');
    try {
      await using repository = await Repository.open(options.repository, placeOptions(options));
      const folder = await repository.requireVm(options.vm);
      const kept = { ...started, session, signal: options.signal };
      const work = () => restoreFrom(folder, options, kept, session, progress);
      return await keepReportOf(folder, kept, work);
    } catch (error) {
      throw toFailure(error, options.signal);
    }
  });
}

async function restoreFrom(
  folder: VmFolder,
  options: RestoreVmOptions,
  { sessionId, startedAtMs }: StartedSession,
  session: SessionLog,
  progress: SessionProgress,
): Promise<RestoreVmReport> {
  const signal = options.signal ?? new AbortController().signal;
  const metadata = await folder.requireMetadata();
  const point = selectPoint(metadata, options.point ?? 'latest');
  const disks = selectDisks(point, options.disks ?? []);
  await using view = await RestorePointView.open(folder.place, metadata.points, point);
  const { onWait } = progress;
  const login = { logger: options.logger, signal, correlationId: sessionId, onWait };
  await using engine = await EngineApi.connect(options.engine, login);
  await checkNameFree(engine, options.asVm);
  const target = await findTarget(engine, options);
  const { blockSizeBytes } = point;
  const { workers } = options;
  await using resources = await PipelineResources.create({ blockSizeBytes, workers, signal });
  const codecs = await createBlockCodecs();
  const { id: vmId, name: vmName } = metadata.vm;
  const journal = await Journal.create(folder.place, restoreJournalName(sessionId), {
    kind: 'restore',
    sessionId,
    vmId,
    vmName: options.asVm,
  });
  const builder = new VmBuilder(
    { sessionId, engine, target, view, resources, codecs, session, progress, journal, signal },
    options,
  );
  let isClean = true;
  try {
    const built = await builder.build(vmId, disks);
    const durationSeconds = (performance.now() - startedAtMs) / 1000;
    session.log.info({ pointId: point.pointId, newVmId: built.newVmId }, 'restored');
    const text = `VM ${options.asVm} restored from restore point ${point.number} of ${vmName}`;
    await postSessionEvent(engine, built.newVmId, 'normal', text);
    return {
      type: 'restore-vm',
      vmName,
      pointId: point.pointId,
      pointNumber: point.number,
      newVmName: options.asVm,
      ...built,
      durationSeconds,
      messages: session.messages,
    };
  } catch (error) {
    progress.phase('stopping');
    options.onStatus?.('stopping: removing what was made on the engine');
    await builder.settle();
    isClean = await removeCreated(engine, createdOnEngine(journal.entries), session);
    throw error;
  } finally {
    await (isClean ? journal.remove() : journal.keep());
  }
}
