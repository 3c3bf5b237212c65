/** Facts that a session asks of the engine: the VM, its state, its disks, its base checkpoint. */
import { EngineError, UsageError } from '../../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../../core/messages.ts';
import { noPatternHint, patternMatcher } from '../../../core/namePattern.ts';
import { didYouMean } from '../../../core/nearestNames.ts';
import type { EngineApi } from '../../../ovirt/engine/engineApi.ts';
import type { Disk, DiskAttachment, Vm } from '../../../ovirt/engine/entities.ts';
import { listVms } from '../../../ovirt/engine/vmList.ts';
import { pollUntil } from '../../../ovirt/poll.ts';
import { findDisk } from '../../shared/selectPoint.ts';
import type { Base, EngineDisk } from './vmPlan.ts';

type Note = (message: SessionMessage) => void;

/** Finished backups stay visible from this version on. */
const GOOD_VERSION = [4, 4, 7] as const;
const READY_STATES = new Set(['up', 'down']);
/** States that pass without help. */
const PASSING_STATES = new Set([
  'migrating',
  'powering_up',
  'powering_down',
  'wait_for_launch',
  'reboot_in_progress',
  'saving_state',
  'restoring_state',
  'image_locked',
]);

export async function checkVersion(engine: EngineApi, note: Note): Promise<void> {
  const { version, fullVersion } = await engine.root();
  const have = [version.major, version.minor, version.build];
  const at = have.findIndex((number, k) => number !== GOOD_VERSION[k]);
  const isOld = at >= 0 && (have[at] ?? 0) < (GOOD_VERSION[at] ?? 0);
  if (isOld) note(sessionMessage('JOB-605', { version: fullVersion }));
}

/** Names of the engine that a mistyped one may have meant, as the start of a hint. */
export async function nearVms(engine: EngineApi, name: string): Promise<string> {
  // The list only serves the hint. Its errors must not hide that the VM is not known.
  const vms = await listVms(engine).catch(() => []);
  return didYouMean(
    name,
    vms.map((vm) => vm.name),
  );
}

/**
 * @throws {@link UsageError} `USAGE_NOT_FOUND`; `USAGE_INVALID_OPTION` when a name is not unique
 */
export async function requireVm(engine: EngineApi, nameOrId: string): Promise<Vm> {
  const vms = await engine.findVms(nameOrId);
  const [vm] = vms;
  if (vm && vms.length === 1) return vm;
  if (!vm) {
    throw new UsageError('USAGE_NOT_FOUND', `the engine knows no VM "${nameOrId}"`, {
      hint: `${noPatternHint(nameOrId)}${await nearVms(engine, nameOrId)}names are case-sensitive; the user must have rights on the VM; "ovirt-cbt preflight --all --repo DIR" lists the VMs`,
    });
  }
  const ids = vms.map((one) => one.id).join(', ');
  throw new UsageError('USAGE_INVALID_OPTION', `"${nameOrId}" names ${vms.length} VMs: ${ids}`, {
    hint: 'give the id instead of the name',
  });
}

/**
 * Waits until the VM is up or down.
 *
 * @param ask - reads the VM.
 * @returns the VM as it was read last.
 * @throws {@link EngineError} `ENGINE_VM_STATE`
 */
export async function awaitBackupState(
  engine: EngineApi,
  vm: Vm,
  ask: () => Promise<Vm | undefined>,
  note: Note,
  signal: AbortSignal,
): Promise<Vm> {
  if (vm.origin.includes('hosted_engine')) {
    note(sessionMessage('JOB-604', { vm: vm.name }));
    throw new EngineError('ENGINE_VM_STATE', `${vm.name} runs the hosted engine`, {
      hint: 'use engine-backup',
    });
  }
  const refuse = (state: string): never => {
    note(sessionMessage('JOB-602', { vm: vm.name, state }));
    throw new EngineError('ENGINE_VM_STATE', `${vm.name} is in state ${state}`, {
      hint: 'oVirt backs up VMs that are up or down; try again later',
      details: { state },
    });
  };
  const { timings } = engine;
  const { onWait } = engine.client;
  let last = vm.status;
  try {
    return await pollUntil(
      async () => {
        const now = await ask();
        last = now?.status ?? 'gone';
        if (now && READY_STATES.has(last)) return now;
        if (!PASSING_STATES.has(last)) refuse(last);
        onWait?.('vm', `the VM is ${last}`);
        return undefined;
      },
      { timings, deadlineMs: timings.startRetryWindowMs, what: `${vm.name} up or down`, signal },
    );
  } catch (error) {
    const isTimeout = error instanceof EngineError && error.code === 'ENGINE_PHASE_TIMEOUT';
    return isTimeout ? refuse(last) : Promise.reject(error as Error);
  } finally {
    onWait?.('vm', undefined);
  }
}

/**
 * The reason why the backup API cannot read a disk, or undefined.
 *
 * @see ovirt-engine DisksFilter, StartVmBackupCommand
 */
function obstacleOf(disk: Disk, attachment: DiskAttachment): string | undefined {
  if (disk.storageType === 'lun') return 'a direct LUN';
  if (disk.storageType !== 'image') return `storage of type ${disk.storageType}`;
  if (disk.shareable) return 'a shareable disk';
  if (!attachment.active) return 'a disk that is not active on the VM';
  if (disk.contentType !== 'data') return `content of type ${disk.contentType}`;
  if (disk.status === 'illegal') return 'a disk with an illegal image';
  if (disk.virtualSizeBytes === undefined) return 'a disk without a size';
  return undefined;
}

export interface DiskSelection {
  /** Ids or aliases. An empty list means all disks. */
  readonly only: readonly string[];
  readonly exclude: readonly string[];
  /** Ids, aliases or patterns of disks to leave out, where there are some. */
  readonly excludePatterns?: readonly string[] | undefined;
}

/** The selection that options of sessions make. */
export function diskSelection(options: {
  readonly disks?: readonly string[] | undefined;
  readonly excludeDisks?: readonly string[] | undefined;
  readonly excludeDiskPatterns?: readonly string[] | undefined;
}): DiskSelection {
  const { disks: only = [], excludeDisks: exclude = [], excludeDiskPatterns } = options;
  return { only, exclude, excludePatterns: excludeDiskPatterns };
}

/** An attached disk. `disk` is undefined when the engine does not show it. */
interface AttachedDisk {
  readonly diskId: string;
  readonly alias: string;
  readonly attachment: DiskAttachment;
  readonly disk: Disk | undefined;
}

/**
 * The disks of a VM. They are not asked for when the VM was read with its disks.
 *
 * @throws {@link UsageError} `USAGE_NOT_FOUND` for a selected disk that the VM does not have;
 *   `USAGE_INVALID_OPTION` for a name that several of its disks have
 */
export async function readDisks(
  engine: EngineApi,
  vm: Vm,
  selection: DiskSelection,
): Promise<EngineDisk[]> {
  // An empty list may also come from an engine that followed the link badly.
  const read = vm.attachments?.length ? vm.attachments : await engine.attachments(vm.id);
  const attached = await Promise.all(
    read.map(async (attachment): Promise<AttachedDisk> => {
      const { id: diskId } = attachment;
      const disk = attachment.disk ?? (await engine.disk(diskId));
      return { diskId, alias: disk?.alias || diskId, attachment, disk };
    }),
  );
  const idsOf = (names: readonly string[]): Set<string> =>
    new Set(names.map((name) => findDisk(attached, name, vm.name).diskId));
  const [only, excluded] = [idsOf(selection.only), idsOf(selection.exclude)];
  const unwanted = (selection.excludePatterns ?? []).map(diskFits);
  const isUnwanted = (one: AttachedDisk): boolean => unwanted.some((fits) => fits(one));
  return await Promise.all(
    attached.map(async (one) => {
      const isLeftOut = only.size > 0 && !only.has(one.diskId);
      const isExcluded = excluded.has(one.diskId) || isUnwanted(one);
      return await describe(engine, one, isLeftOut || isExcluded);
    }),
  );
}

function diskFits(entry: string): (disk: AttachedDisk) => boolean {
  const matches = patternMatcher(entry);
  return ({ diskId, alias }) => diskId === entry.toLowerCase() || matches(alias);
}

async function describe(
  engine: EngineApi,
  { diskId, alias, attachment, disk }: AttachedDisk,
  isExcluded: boolean,
): Promise<EngineDisk> {
  const obstacle = disk ? obstacleOf(disk, attachment) : 'a disk that the engine does not show';
  const isCow = disk?.format === 'cow' && obstacle === undefined;
  const volumes = isCow ? await engine.volumes(diskId) : undefined;
  return {
    diskId,
    alias,
    sizeBytes: disk?.virtualSizeBytes ?? 0,
    obstacle,
    isExcluded,
    format: disk?.format ?? '',
    hasRawLayer: volumes?.some((volume) => volume.format === 'raw') ?? false,
    isTracked: disk?.backup === 'incremental',
    isOldQcow: disk?.qcowVersion === 'qcow2_v2',
    allocatedBytes: disk?.totalSizeBytes ?? 0,
    hardware: {
      format: disk?.format === 'raw' ? 'raw' : 'cow',
      interface: attachment.interface,
      bootable: attachment.bootable,
    },
  };
}

/**
 * A checkpoint as the engine knows it now. Ids are global, so the VM must own it.
 *
 * @param checkpointId - empty when there is none.
 */
export async function readBase(
  engine: EngineApi,
  vmId: string,
  checkpointId: string,
): Promise<Base> {
  if (!checkpointId) return { checkpointId, state: 'none', diskIds: new Set() };
  const all = await engine.checkpointsWithDisks(vmId);
  const known = all.find((one) => one.id === checkpointId);
  if (!known) return { checkpointId, state: 'unknown', diskIds: new Set() };
  if (known.state !== 'created') return { checkpointId, state: 'invalid', diskIds: new Set() };
  const diskIds = await engine.checkpointDiskIds(vmId, known);
  return { checkpointId, state: 'usable', diskIds };
}
