/** What the state of a job becomes. All functions are pure. */
import type { JobState, OpenRun, VmState } from '../jobState.ts';
import type { RunReport, VmResult } from '../runReport.ts';
import { vmFinder } from '../vmFinder.ts';

/** Longest name that a state holds. The engine gives shorter ones. */
export const MAX_NAME_CHARS = 1000;
/** Last time that a Date can hold. */
const MAX_TIME_MS = 8.64e15;

export function newState(jobName: string): JobState {
  return { format: 'ovirt-cbt-state/1', jobName, missedSlots: 0, failedNotifications: 0, vms: [] };
}

/** The later of two times in ISO 8601. */
function later(one: string | undefined, other: string | undefined): string | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Date.parse(one) >= Date.parse(other) ? one : other;
}

/** A run has started. Its slot counts as started from now on. */
export function openRunOf(state: JobState, openRun: OpenRun): JobState {
  return { ...state, openRun, lastSlot: later(state.lastSlot, openRun.slot) };
}

/** A VM of the open run has a point. */
export function addDoneVm(state: JobState, runId: string, vm: string): JobState {
  const { openRun } = state;
  if (openRun?.runId !== runId || openRun.doneVms.includes(vm)) return state;
  return { ...state, openRun: { ...openRun, doneVms: [...openRun.doneVms, vm] } };
}

/** The open run was stopped by hand, and is not to be continued. */
export function stopOpenRun(state: JobState, runId: string): JobState {
  const { openRun } = state;
  if (openRun?.runId !== runId) return state;
  return { ...state, openRun: { ...openRun, isStopped: true } };
}

/** These slots were told as missed. */
export function addMissedSlots(state: JobState, slots: readonly Date[]): JobState {
  if (slots.length === 0) return state;
  const newest = new Date(Math.max(...slots.map(Number))).toISOString();
  return {
    ...state,
    lastSlot: later(state.lastSlot, newest),
    missedSlots: state.missedSlots + slots.length,
  };
}

/**
 * A run has ended. VMs that the run did not have stay, so a run of one VM forgets no other; those
 * that vanished are forgotten. A partial run changes its VMs alone. Missed slots are counted by who
 * finds them, see {@link addMissedSlots}.
 */
export function applyRun(state: JobState, report: RunReport, endedAt: Date): JobState {
  const vms = vmsAfter(state.vms, report);
  if (report.isPartial) return { ...state, vms };
  const { runId, startedAt, outcome } = report;
  const ended = endedAt.toISOString();
  const isOpen = state.openRun !== undefined && state.openRun.runId !== runId;
  return {
    ...state,
    lastSlot: later(state.lastSlot, report.slot),
    openRun: isOpen ? state.openRun : undefined,
    lastRun: { runId, startedAt, endedAt: ended, outcome },
    lastSuccessAt: outcome === 'failure' ? state.lastSuccessAt : ended,
    vms,
  };
}

/** Verify has looked at the latest point of a VM. */
export function setDamaged(state: JobState, vm: VmState, isDamaged: boolean): JobState {
  const isVm = (other: VmState): boolean => other.vmId === vm.vmId && other.vmName === vm.vmName;
  return { ...state, vms: state.vms.map((one) => (isVm(one) ? { ...one, isDamaged } : one)) };
}

function vmsAfter(before: readonly VmState[], report: RunReport): VmState[] {
  const vanished = new Set(report.vanishedVms);
  const previousOf = vmFinder(before);
  const results = report.vms.map((result) => vmAfter(previousOf(result), result, report.verify));
  const resultOf = vmFinder(report.vms);
  const others = before.filter((vm) => !vanished.has(vm.vmName) && !resultOf(vm));
  return [...others, ...results].toSorted(byName);
}

function byName(one: VmState, other: VmState): number {
  if (one.vmName !== other.vmName) return one.vmName < other.vmName ? -1 : 1;
  return one.vmId < other.vmId ? -1 : 1;
}

/** A VM after its last session of a run. @param verify - of the run; undefined while it goes on. */
export function vmAfter(
  previous: VmState | undefined,
  result: VmResult,
  verify: RunReport['verify'],
): VmState {
  const { vmName, outcome, report: session } = result;
  const base = {
    ...previous,
    vmName: vmName.slice(0, MAX_NAME_CHARS),
    vmId: result.vmId || (previous?.vmId ?? ''),
    lastOutcome: outcome,
    isDamaged: isDamagedAfter(previous, result, verify),
  };
  if (!session) return base;
  const endMs = Date.parse(session.startedAt) + session.durationSeconds * 1000;
  const { disks } = session;
  return {
    ...base,
    lastSuccessAt: timeOf(endMs) ?? previous?.lastSuccessAt,
    lastDurationSeconds: countOf(session.durationSeconds),
    lastReadBytes: countOf(disks.reduce((sum, disk) => sum + disk.readBytes, 0)),
    lastStoredBytes: countOf(disks.reduce((sum, disk) => sum + disk.storedBytes, 0)),
    lastPointType: session.pointType,
    lockedUntil: timeOf(Date.parse(session.lockedUntil ?? '')),
  };
}

/** A continued run has reports from the repository. A bad value must not spoil the state. */
function countOf(value: number): number | undefined {
  return Number.isFinite(value) && value >= 0 ? value : undefined;
}

function timeOf(ms: number): string | undefined {
  return Math.abs(ms) <= MAX_TIME_MS ? new Date(ms).toISOString() : undefined;
}

/**
 * A verification of the VM's latest point decides, also after a failed session. Without one, what
 * was known stays.
 */
function isDamagedAfter(
  previous: VmState | undefined,
  result: VmResult,
  verify: RunReport['verify'],
): boolean | undefined {
  if (verify?.damagedVms.includes(result.vmName)) return true;
  const hasPoint = result.report !== undefined || previous?.lastSuccessAt !== undefined;
  const isChecked = verify && hasPoint && verify.failures.length === 0;
  return isChecked ? false : previous?.isDamaged;
}
