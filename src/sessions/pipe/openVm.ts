/** Opens a VM of an engine for piping: frozen, planned, and every mode known. */
import { randomUUID } from 'node:crypto';
import { checkBlockSize } from '../../container/write/containerWriter.ts';
import { BackupError, toFailure, UsageError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { MIB } from '../../core/units.ts';
import type { EngineSettings } from '../../ovirt/connection.ts';
import { createWaitTexts } from '../shared/waitText.ts';
import { EngineApi } from '../../ovirt/engine/engineApi.ts';
import type { Vm } from '../../ovirt/engine/entities.ts';
import type { OpenPoint } from '../../points/openPoint.ts';
import { isOutdated } from '../backup/vm/replan.ts';
import { ChangeMapBroken } from '../backup/vm/vmDisks.ts';
import {
  awaitBackupState,
  checkVersion,
  readBase,
  readDisks,
  requireVm,
} from '../backup/vm/vmInventory.ts';
import { planVm, type VmPlan } from '../backup/vm/vmPlan.ts';
import { isSettled } from '../cleanup/engineCleanup.ts';
import { removeOwnLeftBackups } from '../cleanup/leftBackups.ts';
import {
  checkConnections,
  DEFAULT_CONNECTIONS,
  PipelineResources,
} from '../shared/pipelineResources.ts';
import { SessionLog } from '../shared/sessionLog.ts';
import { type FreezeOptions, type FrozenVm, freezeVm } from './frozenVm.ts';
import { OpenBackup } from './openBackup.ts';
import { PipeFolder } from './pipeFolder.ts';
import { type PipeParent, pipeParent } from './pipeParent.ts';
import { lostCheckpoint, planSince, wholeMessage } from './pipePlan.ts';
import { dropCheckpoints, noteFreezeFailure, VmSource } from './vmSource.ts';

export interface OpenVmOptions {
  readonly engine: EngineSettings;
  /** Name or id. */
  readonly vm: string;
  /** Checkpoint of the last `finish`. Without it every disk is read in full. */
  readonly since?: string | undefined;
  /**
   * A restore point of the VM. Disks without a change map are compared with it instead of read in
   * full. Its own checkpoint takes the place of `since`.
   */
  readonly parent?: OpenPoint | undefined;
  /** Fails when the engine has lost `since`, instead of reading whole disks. @defaultValue false */
  readonly strict?: boolean | undefined;
  /** Disk ids or aliases. @defaultValue all disks */
  readonly disks?: readonly string[] | undefined;
  readonly excludeDisks?: readonly string[] | undefined;
  /**
   * Repository whose folder of this VM holds lock and journal. After a kill the next call or
   * `cleanup` reads the journal there. @defaultValue a private folder below the system's temporary
   * one
   */
  readonly journal?: string | undefined;
  /** Size of the blocks that a sink gets. @defaultValue 1 MiB, or that of `parent` */
  readonly blockSizeBytes?: number | undefined;
  /** Data requests per disk at the same time, 1 to 8. @defaultValue 4 */
  readonly connections?: number | undefined;
  readonly workers?: number | undefined;
  /** Fails when the guest cannot be frozen. @defaultValue false */
  readonly requireConsistency?: boolean | undefined;
  /** Stops all pipes. The VM is given back by `close`. */
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  /** Gets a text that says what the call waits for. */
  readonly onStatus?: ((text: string) => void) | undefined;
  /** Hands out copies of blocks that are taken away afterwards. For tests of a sink. */
  readonly debugOwnership?: boolean | undefined;
}

/** Things to close, the last one first. */
class Closers {
  readonly #closers: (() => Promise<void>)[] = [];

  add(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  /** A closer that fails does not stop the others. Throws the first error. */
  readonly close = async (): Promise<void> => {
    const errors: unknown[] = [];
    for (let close = this.#closers.pop(); close; close = this.#closers.pop()) {
      await close().catch((error: unknown) => errors.push(error));
    }
    if (errors.length > 0) throw errors[0];
  };
}

/**
 * Freezes a VM and opens it for piping.
 *
 * When this returns, the engine holds a frozen view of the disks, and each disk says its mode and
 * reason. The VM goes on running. The caller pipes the disks, calls `finish`, and closes the backup
 * in any case. Only backups of this `journal` are cleaned up; those of others stay as they are.
 *
 * @throws a {@link BackupError}; nothing is left on the engine then, or the journal lists it
 */
export async function openVm(options: OpenVmOptions): Promise<OpenBackup> {
  checkOptions(options);
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...(options.signal ? [options.signal] : [])]);
  const closers = new Closers();
  try {
    return await open(options, { signal, stop: () => stop.abort(), closers });
  } catch (error) {
    await closers.close().catch(() => {});
    throw toFailure(error, options.signal);
  }
}

interface OpenTools {
  readonly signal: AbortSignal;
  readonly stop: () => void;
  readonly closers: Closers;
}

async function open(options: OpenVmOptions, tools: OpenTools): Promise<OpenBackup> {
  const parent = options.parent && (await pipeParent(options.parent, options.blockSizeBytes));
  const { vm, folder, freeze } = await prepare(options, tools);
  if (options.parent && options.parent.vmId !== vm.id) throw parentOfOther(options.parent, vm);
  const { engine, session } = freeze;
  const planner = new PipePlanner(options, { engine, vm, folder, parent, session });
  const frozen = await freezePlanned(planner, freeze, vm).catch(async (error: unknown) => {
    // The engine keeps the checkpoint of a backup that was ended.
    await dropCheckpoints(undefined, { folder, options: freeze, vm });
    throw error;
  });
  const blockSizeBytes = parent?.blockSizeBytes ?? options.blockSizeBytes ?? MIB;
  const source = new VmSource({
    options: freeze,
    vm,
    frozen,
    folder,
    parent,
    since: planner.since,
    blockSizeBytes,
    stop: tools.stop,
    release: tools.closers.close,
  });
  try {
    const { workers, signal, debugOwnership } = options;
    const resources = await PipelineResources.create({ blockSizeBytes, workers });
    return new OpenBackup(source, { resources, signal, debugOwnership });
  } catch (error) {
    await source.abandon();
    throw error;
  }
}

interface Prepared {
  readonly vm: Vm;
  readonly folder: PipeFolder;
  readonly freeze: FreezeOptions;
}

/** Logs in, takes the lock, cleans up after a killed call, and waits until the VM can be frozen. */
async function prepare(options: OpenVmOptions, tools: OpenTools): Promise<Prepared> {
  const { signal, closers } = tools;
  const sessionId = randomUUID();
  const session = new SessionLog(options, { sessionId, vmName: options.vm });
  const { note } = session;
  const onWait = createWaitTexts(options.onStatus, () => '');
  const login = { logger: options.logger, signal, correlationId: sessionId, onWait };
  const engine = await EngineApi.connect(options.engine, login);
  closers.add(() => engine.close());
  await checkVersion(engine, note);
  const vm = await requireVm(engine, options.vm);
  const folder = await PipeFolder.open(options.journal, vm);
  closers.add(() => folder.close());
  const journal = await folder.startJournal(sessionId, { engine, vm, note, signal });
  closers.add(() => (isSettled(journal.entries) ? journal.remove() : journal.keep()));
  await removeOwnLeftBackups({ engine, vm, note, signal }, folder.ownerId, folder.lock);
  await awaitBackupState(engine, vm, () => engine.vm(vm.id), note, signal);
  const { connections = DEFAULT_CONNECTIONS, onStatus = () => {} } = options;
  const { requireConsistency = false, strict = false } = options;
  const identity = { engine, vm, session, sessionId, journal, ownerId: folder.ownerId };
  const freeze = { ...identity, connections, requireConsistency, strict, signal, onStatus };
  return { vm, folder, freeze };
}

interface PlannerParts {
  readonly engine: EngineApi;
  readonly vm: Vm;
  readonly folder: PipeFolder;
  readonly parent: PipeParent | undefined;
  readonly session: SessionLog;
}

/** Plans how the disks are read: by a restore point where there is one, otherwise by `since`. */
class PipePlanner {
  readonly since: string | undefined;
  readonly #options: OpenVmOptions;
  readonly #parts: PlannerParts;

  constructor(options: OpenVmOptions, parts: PlannerParts) {
    this.#options = options;
    this.#parts = parts;
    const ofParent = parts.parent?.checked.point.checkpointId;
    if (options.since && ofParent !== undefined && options.since !== ofParent) {
      throw otherCheckpoint(options.since);
    }
    this.since = options.since || ofParent || undefined;
  }

  async plan(useBase: boolean): Promise<VmPlan> {
    const { engine, vm, folder, parent, session } = this.#parts;
    const { disks: only = [], excludeDisks: exclude = [], strict = false } = this.#options;
    const checkpointId = useBase ? (this.since ?? '') : '';
    const disks = await readDisks(engine, vm, { only, exclude });
    const base = await readBase(engine, vm.id, checkpointId);
    const known = parent?.checked.point;
    const isLost = base.state === 'unknown' || base.state === 'invalid';
    if (known && strict && isLost) {
      throw lostCheckpoint(checkpointId, vm.name, `the engine calls it ${base.state}`);
    }
    const plan = known
      ? planVm(disks, vm.name, known, { base, fullReason: '' })
      : planSince(disks, vm.name, { base, sizesBytes: folder.sizesAt(checkpointId), strict });
    for (const message of plan.messages) session.note(message);
    if (plan.planned.length > 0) return plan;
    throw new UsageError('USAGE_NOT_FOUND', `${vm.name} has no disk that can be read`, {
      hint: 'run "ovirt-cbt preflight" to see why each disk is left out',
    });
  }

  /** Says why a second attempt reads whole disks. */
  noteLost(plan: VmPlan, cause: string): void {
    for (const disk of plan.planned) {
      if (disk.mode !== 'incremental') continue;
      this.#parts.session.note(wholeMessage(disk, plan.fromCheckpointId ?? '', cause));
    }
  }
}

/** Freezes the VM. A plan that does not hold is made again once, and once without checkpoint. */
async function freezePlanned(
  planner: PipePlanner,
  options: FreezeOptions,
  vm: Vm,
): Promise<FrozenVm> {
  let useBase = true;
  let wasPlannedAgain = false;
  for (let number = 1; ; number++) {
    const plan = await planner.plan(useBase);
    try {
      return await freezeVm(plan, number, options);
    } catch (error) {
      if (isOutdated(error) && !wasPlannedAgain) {
        wasPlannedAgain = true;
        continue;
      }
      const cause = causeWithoutBase(error);
      if (!cause || options.strict || plan.fromCheckpointId === undefined) {
        await noteFreezeFailure(error, vm, options);
        throw error instanceof ChangeMapBroken ? brokenMap(error, plan) : error;
      }
      planner.noteLost(plan, cause);
      useBase = false;
    }
  }
}

function causeWithoutBase(error: unknown): string | undefined {
  if (error instanceof ChangeMapBroken) return 'the engine could not open its change map';
  const isLost = error instanceof BackupError && error.code === 'ENGINE_CHANGE_MAP_LOST';
  return isLost ? 'the engine refused the checkpoint' : undefined;
}

function brokenMap({ disk }: ChangeMapBroken, plan: VmPlan): BackupError {
  const cause = 'the engine could not open its change map';
  return lostCheckpoint(plan.fromCheckpointId ?? '', disk.alias, cause);
}

function parentOfOther(parent: OpenPoint, vm: Vm): UsageError {
  return new UsageError(
    'USAGE_INVALID_OPTION',
    `parent is a restore point of ${parent.vmName} (${parent.vmId}), not of ${vm.name} (${vm.id})`,
    { hint: 'give a restore point of the same VM' },
  );
}

function otherCheckpoint(since: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', `since ${since} is not the checkpoint of parent`, {
    hint: 'leave since out: the checkpoint of parent takes its place',
  });
}

function checkOptions(options: OpenVmOptions): void {
  if (options.blockSizeBytes !== undefined) checkBlockSize(options.blockSizeBytes);
  checkConnections(options.connections);
}
