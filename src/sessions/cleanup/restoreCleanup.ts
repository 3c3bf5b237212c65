/** Removes what a failed or killed restore made on an engine: transfers, the VM, its disks. */
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import { faultKind } from '../../ovirt/engine/engineErrors.ts';
import { pollUntil } from '../../ovirt/poll.ts';
import { endTransfer, isEnding } from '../../ovirt/lifecycle/transferEnd.ts';
import type { JournalEntry } from '../../repository/journal.ts';
import { restoreDescription } from './ownership.ts';
import type { SessionLog } from '../shared/sessionLog.ts';

/** Objects of a restore on the engine, from its journal. */
export interface CreatedOnEngine {
  /** Description of objects of this restore. Others can have objects with the same name. */
  readonly marker: string;
  readonly transferIds: readonly string[];
  readonly vmIds: readonly string[];
  readonly diskIds: readonly string[];
  /** Names of disks and VMs that were requested and whose ids never arrived. */
  readonly diskNames: readonly string[];
  readonly vmNames: readonly string[];
}

const NOTHING: CreatedOnEngine = {
  marker: '',
  transferIds: [],
  vmIds: [],
  diskIds: [],
  diskNames: [],
  vmNames: [],
};

/** Finds the created objects in a journal. Pure. Nothing when the restore was completed. */
export function createdOnEngine(entries: readonly JournalEntry[]): CreatedOnEngine {
  if (entries.some((entry) => entry.step === 'restore-done')) return NOTHING;
  const transfers = new Set<string>();
  let marker = '';
  const vmIds: string[] = [];
  const diskIds: string[] = [];
  const diskNames = new Set<string>();
  const vmNames = new Set<string>();
  for (const entry of entries) {
    if (entry.step === 'session') marker = restoreDescription(entry.sessionId);
    if (entry.step === 'transfer') transfers.add(entry.transferId);
    if (entry.step === 'transfer-done') transfers.delete(entry.transferId);
    if (entry.step === 'disk-starting') diskNames.add(entry.name);
    if (entry.step === 'vm-starting') vmNames.add(entry.name);
    if (entry.step === 'disk') diskIds.push(entry.diskId);
    if (entry.step === 'vm') vmIds.push(entry.vmId);
    // An object with a known id is not searched by name: others may use the same name.
    if (entry.step === 'disk' || entry.step === 'refused') diskNames.delete(entry.name);
    if (entry.step === 'vm' || entry.step === 'refused') vmNames.delete(entry.name);
  }
  return {
    marker,
    transferIds: [...transfers],
    vmIds,
    diskIds,
    diskNames: [...diskNames],
    vmNames: [...vmNames],
  };
}

/**
 * Removes created objects within its own time limit. They are found by id. An object whose id never
 * arrived is found by its name together with the description of its restore. Nothing else is
 * touched.
 *
 * @returns true when all of it is gone.
 */
export async function removeCreated(
  engine: EngineApi,
  created: CreatedOnEngine,
  session: Pick<SessionLog, 'log'>,
): Promise<boolean> {
  const clock = AbortSignal.timeout(engine.timings.cleanupMs);
  const onClock = engine.withSignal(clock);
  try {
    for (const transferId of await transfersToEnd(onClock, created)) {
      await endTransfer(onClock, transferId, 'cancel', clock);
    }
    for (const vmId of await vmsToRemove(onClock, created)) await removeVm(onClock, vmId);
    for (const diskId of await disksToRemove(onClock, created)) await removeDisk(onClock, diskId);
    return true;
  } catch (error) {
    session.log.warn({ reason: String(error) }, 'some objects of the restore could not be removed');
    return false;
  }
}

/** All uploads to created disks are ours, also an upload whose id never arrived. */
async function transfersToEnd(engine: EngineApi, created: CreatedOnEngine): Promise<Set<string>> {
  const ids = new Set(created.transferIds);
  if (created.diskIds.length === 0) return ids;
  for (const transfer of await engine.transfers()) {
    const { id, direction, diskId = '' } = transfer;
    const isOurs = direction === 'upload' && created.diskIds.includes(diskId);
    if (isOurs && !isEnding(transfer)) ids.add(id);
  }
  return ids;
}

async function vmsToRemove(engine: EngineApi, created: CreatedOnEngine): Promise<string[]> {
  const ids = [...created.vmIds];
  for (const name of created.vmNames) {
    const found = (await engine.findVms(name)).filter((vm) => vm.description === created.marker);
    ids.push(...found.map((vm) => vm.id));
  }
  return ids;
}

async function disksToRemove(engine: EngineApi, created: CreatedOnEngine): Promise<Set<string>> {
  const ids = new Set(created.diskIds);
  for (const name of created.diskNames) {
    for (const { id, description } of await engine.findDisks(name)) {
      if (description === created.marker) ids.add(id);
    }
  }
  return ids;
}

async function removeVm(engine: EngineApi, vmId: string): Promise<void> {
  await ignoreMissing(() => engine.deleteVm(vmId));
  await gone(engine, `removal of VM ${vmId}`, () => engine.vm(vmId));
}

async function removeDisk(engine: EngineApi, diskId: string): Promise<void> {
  const { timings } = engine;
  // A disk can stay locked for a moment after its transfer ended.
  await pollUntil(
    async () => {
      const disk = await engine.disk(diskId);
      if (!disk) return true;
      if (disk.status !== 'locked') await ignoreBusy(() => engine.deleteDisk(diskId));
      return undefined;
    },
    { timings, deadlineMs: timings.diskReadyMs, what: `removal of disk ${diskId}` },
  );
}

async function gone(engine: EngineApi, what: string, ask: () => Promise<unknown>): Promise<void> {
  const { timings } = engine;
  await pollUntil(async () => ((await ask()) === undefined ? true : undefined), {
    timings,
    deadlineMs: timings.diskReadyMs,
    what,
  });
}

async function ignoreMissing(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (faultKind(error) !== 'not-found') throw error;
  }
}

async function ignoreBusy(work: () => Promise<void>): Promise<void> {
  try {
    await ignoreMissing(work);
  } catch (error) {
    if (faultKind(error) !== 'disk-busy') throw error;
  }
}
