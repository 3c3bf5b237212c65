/** Shows what the next session of a VM would do, and why. It changes and locks nothing. */
import { toFailure, UsageError } from '../../../core/errors.ts';
import type { Logger } from '../../../core/log.ts';
import { type SessionMessage, sessionMessage } from '../../../core/messages.ts';
import { formatDuration } from '../../../core/units.ts';
import type { EngineSettings } from '../../../ovirt/connection.ts';
import { EngineApi } from '../../../ovirt/engine/engineApi.ts';
import type { Vm } from '../../../ovirt/engine/entities.ts';
import { createBlockCodecs } from '../../../compute/blockCodecs.ts';
import { leftBackupJournal } from '../../../repository/journal.ts';
import type { ChainMetadata } from '../../../repository/pointXml.ts';
import { Repository } from '../../../repository/repository.ts';
import { chainTo, type RestorePoint } from '../../../repository/restorePoint.ts';
import type { VmFolder } from '../../../repository/vmFolder.ts';
import { checkSpace } from '../../shared/freeSpace.ts';
import { nothingToBuildOn, placeOptions } from '../../shared/startRepository.ts';
import { chooseParent, type ParentChoice, type SessionMode } from '../parent/parentChoice.ts';
import { unfinishedBackups } from '../../cleanup/ownership.ts';
import { SessionLog } from '../../shared/sessionLog.ts';
import { createWaitTexts } from '../../shared/waitText.ts';
import { checkVersion, diskSelection, readBase, readDisks, requireVm } from './vmInventory.ts';
import { canTrack, type EngineDisk, judgeEmptyPlan, planVm, type VmPlan } from './vmPlan.ts';
import type { StoreOptions } from '../../../store/store.ts';

export interface PreflightOptions {
  readonly engine: EngineSettings;
  readonly repository: string;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
  readonly vm: string;
  readonly mode?: SessionMode | undefined;
  readonly disks?: readonly string[] | undefined;
  readonly excludeDisks?: readonly string[] | undefined;
  /** Ids, aliases or patterns of disks that are left out. One that fits no disk is no error. */
  readonly excludeDiskPatterns?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  /** Called with a text while the engine does not answer. */
  readonly onStatus?: ((text: string) => void) | undefined;
}

export interface PreflightDisk {
  readonly diskId: string;
  readonly alias: string;
  readonly format: string;
  readonly sizeBytes: number;
  /** How the next session reads the disk; `left out` when it cannot or must not. */
  readonly mode: 'full' | 'incremental' | 'compare' | 'left out';
  readonly reason: string;
  /** True when later sessions can be incremental. */
  readonly isTrackable: boolean;
  /** One line that says what to do; empty when all is well. */
  readonly advice: string;
}

export interface PreflightReport {
  readonly type: 'preflight';
  readonly vmName: string;
  readonly vmId: string;
  readonly vmState: string;
  readonly engineVersion: string;
  /** False when a session that starts now would be refused. */
  readonly canStart: boolean;
  readonly disks: readonly PreflightDisk[];
  readonly messages: readonly SessionMessage[];
}

const UNTIL_THEN = 'until then, later sessions read it whole';
const ADVICE_LEFT_OUT =
  'exclude it with --exclude-disk or "excludeDisks" of the job, or back it up from inside the guest';
const ADVICE_RAW = `convert it to QCOW2, then switch on incremental backup; ${UNTIL_THEN}`;
const ADVICE_TRACKING = `switch on incremental backup; ${UNTIL_THEN}`;
const ADVICE_OLD = `upgrade it to qcow2 version 3; ${UNTIL_THEN}`;

/** Short: the message of the disk says more. */
function adviceFor(disk: EngineDisk): string {
  if (disk.isExcluded) return '';
  if (disk.obstacle !== undefined) return ADVICE_LEFT_OUT;
  if (canTrack(disk)) return '';
  if (disk.format !== 'cow' || disk.hasRawLayer) return ADVICE_RAW;
  return disk.isTracked ? ADVICE_OLD : ADVICE_TRACKING;
}

function toRow(disk: EngineDisk, plan: VmPlan): PreflightDisk {
  const { diskId, alias, format, sizeBytes } = disk;
  const planned = plan.planned.find((one) => one.diskId === diskId);
  const leftOut = plan.leftOut.find((one) => one.diskId === diskId);
  const isTrackable = planned !== undefined && canTrack(disk);
  return {
    diskId,
    alias,
    format: disk.hasRawLayer ? 'cow over raw' : format || '-',
    sizeBytes,
    mode: planned?.mode ?? 'left out',
    reason: planned?.reason ?? leftOut?.cause ?? '',
    isTrackable,
    advice: adviceFor(disk),
  };
}

async function noteState(
  engine: EngineApi,
  vm: Vm,
  repositoryId: string,
  session: SessionLog,
): Promise<boolean> {
  const { note } = session;
  let canStart = true;
  if (vm.origin.includes('hosted_engine')) {
    note(sessionMessage('JOB-604', { vm: vm.name }));
    canStart = false;
  } else if (vm.status !== 'up' && vm.status !== 'down') {
    note(sessionMessage('JOB-602', { vm: vm.name, state: vm.status }));
    canStart = false;
  }
  const { foreign } = await unfinishedBackups(engine, vm.id, repositoryId);
  for (const { id: backup } of foreign) {
    note(sessionMessage('SNP-203', { vm: vm.name, backup }));
    canStart = false;
  }
  return canStart;
}

/** @throws as the session would. A missing folder counts as an empty chain. */
async function findParent(
  folder: VmFolder | undefined,
  metadata: ChainMetadata | undefined,
  options: PreflightOptions,
  session: SessionLog,
): Promise<ParentChoice> {
  const { mode = 'auto', repository } = options;
  if (!folder || !metadata) {
    if (mode === 'incremental') throw nothingToBuildOn(repository);
    return { parent: undefined, fullReason: 'first restore point' };
  }
  const codecs = await createBlockCodecs();
  return await chooseParent(folder, metadata, { mode, codecs, note: session.note });
}

const DAY_MS = 24 * 60 * 60 * 1000;

function spanText(periodMs: number): string {
  const days = periodMs / DAY_MS;
  if (!Number.isInteger(days)) return formatDuration(periodMs);
  return days === 1 ? '1 day' : `${days} days`;
}

/** @param chain - points on which the next one would build. */
function noteLocks(
  vm: string,
  chain: readonly RestorePoint[],
  { store }: PreflightOptions,
  { note }: SessionLog,
): void {
  if (!store?.immutable) return;
  const { periodMs, mode } = store.immutable;
  note(sessionMessage('REPO-552', { vm, span: spanText(periodMs), mode, n: chain.length }));
}

/**
 * Plans the next session of a VM without starting it.
 *
 * @throws a {@link BackupError}
 */
export async function preflightVm(options: PreflightOptions): Promise<PreflightReport> {
  const signal = options.signal ?? new AbortController().signal;
  try {
    await using engine = await loginForPreflight(options, signal);
    return await preflightOn(engine, options);
  } catch (error) {
    throw toFailure(error, options.signal);
  }
}

/** A login that tells when the engine does not answer. */
export async function loginForPreflight(
  options: Pick<PreflightOptions, 'engine' | 'logger' | 'onStatus'>,
  signal: AbortSignal,
): Promise<EngineApi> {
  const { engine, logger, onStatus } = options;
  const onWait = createWaitTexts(onStatus, () => '');
  return await EngineApi.connect(engine, { logger, signal, onWait });
}

/** {@link preflightVm} with the login of the caller. */
export async function preflightOn(
  engine: EngineApi,
  options: PreflightOptions,
): Promise<PreflightReport> {
  const vm = await requireVm(engine, options.vm);
  const session = new SessionLog(options, { vmName: vm.name });
  await checkVersion(engine, session.note);
  // A missing repository is no obstacle: the first session makes it.
  await using repository = await Repository.openIfMade(options.repository, placeOptions(options));
  if (!repository) session.note(sessionMessage('REPO-531', { repo: options.repository }));
  const folder = await repository?.vmById(vm.id);
  const canStart = await noteState(engine, vm, repository?.id ?? '', session);
  if (folder && (await leftBackupJournal(folder.place))) {
    session.note(sessionMessage('JOB-607', { vm: vm.name }));
  }
  const disks = await readDisks(engine, vm, diskSelection(options));
  const metadata = await folder?.readMetadata();
  const { parent, fullReason } = await findParent(folder, metadata, options, session);
  const base = await readBase(engine, vm.id, parent?.point.checkpointId ?? '');
  const plan = planVm(disks, vm.name, parent?.point, { base, fullReason });
  for (const message of plan.messages) session.note(message);
  noteLocks(
    vm.name,
    parent && metadata ? chainTo(metadata.points, parent.point) : [],
    options,
    session,
  );
  const empty = judgeEmptyPlan(plan, disks, vm.name, metadata?.points.at(-1));
  if (empty && !(empty instanceof UsageError)) session.note(empty);
  if (!parent && repository && folder) {
    const needBytes = disks.reduce((sum, disk) => sum + disk.allocatedBytes, 0);
    await checkSpace(repository.store, needBytes, session.note);
  }
  return {
    type: 'preflight',
    vmName: vm.name,
    vmId: vm.id,
    vmState: vm.status,
    engineVersion: (await engine.root()).fullVersion,
    canStart: canStart && !(empty instanceof UsageError),
    disks: disks.map((disk) => toRow(disk, plan)),
    messages: session.messages,
  };
}
