/**
 * Checks before a backup starts, in the engine's order: permission, engine locks, validations.
 * Source: oVirt contract (start faults of a backup).
 */
import type { BackupBody } from '../bodies.ts';
import type { Engine } from '../core.ts';
import { type EngineFault, forbidden, refusal } from '../refusals.ts';
import type { BackupKind, BackupRow, CheckpointRow, DiskRow, VmRow } from '../rows.ts';

const MAX_DESCRIPTION_CHARS = 1024;
const HOSTED_ENGINE_ORIGINS: readonly string[] = ['hosted_engine', 'managed_hosted_engine'];
const BUSY = 'The VM is during a backup operation.';

export interface BackupRequest {
  readonly engine: Engine;
  readonly vm: VmRow;
  readonly kind: BackupKind;
  readonly body: BackupBody;
  readonly diskIds: readonly string[];
  /** Those of `diskIds` that exist. */
  readonly disks: readonly DiskRow[];
  readonly fromCheckpoint: CheckpointRow | undefined;
}

type Check = (request: BackupRequest) => EngineFault | undefined;

function refuse(status: number, text: string): EngineFault {
  return refusal(status, `Cannot backup VM. ${text}`);
}

function namesOf(disks: readonly DiskRow[]): string {
  return disks.map(({ name }) => name).join(', ');
}

/** Incremental backups exist from compatibility 4.5 on. */
function isBefore45({ engine, vm }: BackupRequest): boolean {
  const [major, minor] = engine.compatibilityOf(vm);
  return major === 4 && minor < 5;
}

function isBeginning(backup: BackupRow | undefined): boolean {
  return backup?.phase === 'initializing' || backup?.phase === 'starting';
}

const checkPermission: Check = ({ engine }) =>
  engine.behaviour.forbidsBackup ? forbidden() : undefined;

const checkVmLock: Check = ({ engine, vm }) => {
  if (isBeginning(engine.unfinishedBackupOf(vm.id))) return refuse(409, BUSY);
  if (vm.operation === undefined) return undefined;
  return refuse(409, 'Related operation is currently in progress. Please try again later.');
};

const checkDiskLocks: Check = ({ disks }) => {
  const locked = disks.find(({ lock }) => lock !== undefined && lock.kind !== 'backup');
  return locked && refuse(409, `Disk is locked: ${locked.name}. Please try again later.`);
};

const checkHostedEngine: Check = ({ vm }) =>
  HOSTED_ENGINE_ORIGINS.includes(vm.origin)
    ? refuse(409, 'Backup of Hosted Engine VM is not supported.')
    : undefined;

const checkDisksExist: Check = ({ engine, diskIds }) => {
  const unknown = diskIds.filter((id) => !engine.disks.has(id));
  if (unknown.length === 0) return undefined;
  return refuse(400, `The following disk(s) ID(s) does not exist: ${unknown.join(', ')}.`);
};

/** Not for a hybrid backup: its snapshot fails later (start.ts). */
const checkDisksUnlocked: Check = ({ disks, kind }) => {
  const locked = disks.filter(({ status, lock }) => status === 'locked' && lock?.kind !== 'backup');
  if (kind === 'hybrid' || locked.length === 0) return undefined;
  return refuse(409, `The following disks are locked: ${namesOf(locked)}. Please try again later.`);
};

const checkDisksActive: Check = ({ engine, disks, vm }) => {
  const inactive = disks.filter(({ id }) => engine.attachmentOf(vm, id)?.active === false);
  if (inactive.length === 0) return undefined;
  return refuse(409, `The following disks are not active on VM ${vm.name}: ${namesOf(inactive)}.`);
};

/** A real engine answers 500 for a disk that the VM does not have. */
const checkDisksOfVm: Check = ({ engine, disks, vm }) =>
  disks.every(({ id }) => engine.attachmentOf(vm, id))
    ? undefined
    : refusal(500, 'General command validation failure.');

const checkIncrementalSupport: Check = (request) =>
  request.body.from_checkpoint_id !== undefined && isBefore45(request)
    ? refuse(400, 'Incremental backup is not supported.')
    : undefined;

const checkCheckpoint: Check = ({ body, fromCheckpoint }) => {
  const id = body.from_checkpoint_id;
  if (id === undefined) return undefined;
  if (!fromCheckpoint) return refuse(400, `Checkpoint ID ${id} doesn't exist.`);
  if (fromCheckpoint.state !== 'invalid') return undefined;
  return refuse(400, `The checkpoint ${id} is invalid and should be removed.`);
};

const checkVmStatus: Check = ({ vm }) =>
  vm.status === 'up' || vm.status === 'down'
    ? undefined
    : refuse(409, 'The VM should be in Up or Down status.');

const checkPreview: Check = ({ vm }) =>
  vm.previewsSnapshot
    ? refuse(409, `VM ${vm.name} is previewing a Snapshot. Please commit or undo it.`)
    : undefined;

const checkHost: Check = ({ engine, vm, kind }) => {
  if (kind !== 'live') return undefined;
  const [major, minor, build] = engine.hostOf(vm)?.version ?? [4, 5, 0];
  const isOld = major === 4 && (minor < 4 || (minor === 4 && build < 5));
  return isOld ? refuse(409, 'The host has a version lower than 4.4.5.') : undefined;
};

const checkCold: Check = (request) =>
  request.kind === 'cold' && isBefore45(request)
    ? refuse(400, 'Incremental backup is not supported.')
    : undefined;

const checkNoOtherBackup: Check = ({ engine, vm }) =>
  engine.unfinishedBackupOf(vm.id) ? refuse(409, BUSY) : undefined;

const checkDescription: Check = ({ body }) =>
  (body.description?.length ?? 0) > MAX_DESCRIPTION_CHARS
    ? refuse(
        400,
        `The description shouldn't contain more than ${MAX_DESCRIPTION_CHARS} characters.`,
      )
    : undefined;

const checkId: Check = ({ engine, body }) =>
  body.id !== undefined && engine.backups.has(body.id)
    ? refuse(400, `A backup with ID ${body.id} already exists.`)
    : undefined;

const CHECKS: readonly Check[] = [
  checkPermission,
  checkVmLock,
  checkDiskLocks,
  checkHostedEngine,
  checkDisksExist,
  checkDisksUnlocked,
  checkDisksActive,
  checkDisksOfVm,
  checkIncrementalSupport,
  checkCheckpoint,
  checkVmStatus,
  checkPreview,
  checkHost,
  checkCold,
  checkNoOtherBackup,
  checkDescription,
  checkId,
];

/** Runs all checks. @throws EngineFault of the first check that refuses */
export function checkBackupStart(request: BackupRequest): void {
  for (const check of CHECKS) {
    const fault = check(request);
    if (fault) throw fault;
  }
}
