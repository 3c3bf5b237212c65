/**
 * What the console shows of a session, made from its progress events. Pure: the caller gives the
 * time. A state has one entry a disk and a few samples, so its memory is bounded.
 */
import { boundedText } from '../../repository/names.ts';
import type { ProgressDisk, ProgressEvent } from '../../sessions/shared/progress.ts';
import { waitText } from '../../sessions/shared/waitText.ts';
import type { LiveContainer, LiveDisk, LiveSession } from '../contract.ts';

/** A rate is that of the last seconds. */
const RATE_WINDOW_MS = 10_000;
/** Events may come every 250 ms for each disk. */
const SAMPLE_EVERY_MS = 500;
/** A rate over a shorter time says nothing. */
const SHORTEST_RATE_MS = 1000;
/** The engine gives the reason of a wait. */
const MAX_WAIT_CHARS = 300;
/** Far more than a VM has. A worker of a fleet may tell anything. */
const MAX_DISKS = 2000;
/** Verify reads four at once. */
const MAX_CONTAINERS = 16;

/** Who runs the session. */
export type SessionOrigin = Pick<LiveSession, 'jobName' | 'runId' | 'taskId'>;

interface Sample {
  readonly timeMs: number;
  readonly readBytes: number;
}

export interface SessionState {
  readonly session: LiveSession;
  /** Oldest first; at most one is older than the window. */
  readonly samples: readonly Sample[];
}

type EventOf<Type extends ProgressEvent['type']> = Extract<ProgressEvent, { type: Type }>;

/** A session of which nothing is known but its event. */
export function newSession(
  { sessionId, vmName, vmId, worker }: ProgressEvent,
  origin: SessionOrigin,
  nowMs: number,
): SessionState {
  const session: LiveSession = {
    sessionId,
    vmName,
    vmId,
    ...origin,
    worker,
    startedAt: new Date(nowMs).toISOString(),
    phase: 'preparing',
    disks: [],
  };
  return { session, samples: [] };
}

/** The state after an event of its session. */
export function afterEvent(state: SessionState, event: ProgressEvent, nowMs: number): SessionState {
  const { vmName, vmId, worker } = event;
  const changed = changedBy(state.session, event);
  const session = { ...state.session, ...changed, vmName, vmId, worker };
  // The session starts anew: what it has read before does not count.
  const samples = event.type === 'disksPlanned' ? [] : state.samples;
  return { session, samples: withSample(samples, session.disks, nowMs) };
}

/** The session as it is told now, with its rate. */
export function sessionAt({ session, samples }: SessionState, nowMs: number): LiveSession {
  const readBytesPerSecond = rateAt(session, samples, nowMs);
  return readBytesPerSecond === undefined ? session : { ...session, readBytesPerSecond };
}

function changedBy(session: LiveSession, event: ProgressEvent): Partial<LiveSession> {
  switch (event.type) {
    case 'phase':
      return { phase: event.phase };
    case 'waiting':
      return { waitsFor: reasonOf(event) };
    case 'resumed':
      return { waitsFor: undefined };
    case 'disksPlanned':
      return { disks: event.disks.map(plannedDisk) };
    case 'diskStarted':
      return { disks: withDisk(session.disks, plannedDisk(event)) };
    case 'diskProgress':
    case 'diskEnded':
      return { disks: withDisk(session.disks, countedDisk(session.disks, event)) };
    case 'containerProgress':
      return { containers: withContainer(session.containers ?? [], event) };
    case 'ended':
      return { result: event.result, waitsFor: undefined };
  }
}

/** As {@link waitText}, without its first word. */
function reasonOf({ waitsFor, reason }: EventOf<'waiting'>): string {
  return boundedText(waitText(waitsFor, reason).replace(/^waiting: /, ''), MAX_WAIT_CHARS);
}

function plannedDisk({ diskId, alias, mode, sizeBytes, dataBytes }: ProgressDisk): LiveDisk {
  return { diskId, alias, mode, sizeBytes, dataBytes, doneBytes: 0, readBytes: 0 };
}

function countedDisk(
  disks: readonly LiveDisk[],
  event: EventOf<'diskProgress' | 'diskEnded'>,
): LiveDisk {
  const { diskId, alias, doneBytes, readBytes } = event;
  const known = disks.find((disk) => disk.diskId === diskId);
  const base = known ?? { diskId, alias, sizeBytes: 0 };
  const ended = event.type === 'diskEnded' ? { result: event.result } : {};
  return { ...base, doneBytes, readBytes, ...ended };
}

function withDisk(disks: readonly LiveDisk[], disk: LiveDisk): readonly LiveDisk[] {
  const isKnown = disks.some(({ diskId }) => diskId === disk.diskId);
  if (!isKnown) return disks.length < MAX_DISKS ? [...disks, disk] : disks;
  return disks.map((other) => (other.diskId === disk.diskId ? disk : other));
}

/** Containers that are checked are left out. */
function withContainer(
  containers: readonly LiveContainer[],
  { fileName, checkedBlocks, totalBlocks }: EventOf<'containerProgress'>,
): readonly LiveContainer[] {
  const others = containers.filter((container) => container.fileName !== fileName);
  if (checkedBlocks >= totalBlocks) return others;
  return [...others, { fileName, checkedBlocks, totalBlocks }].slice(-MAX_CONTAINERS);
}

function readBytesOf(disks: readonly LiveDisk[]): number {
  return disks.reduce((sum, { readBytes }) => sum + readBytes, 0);
}

function withSample(
  samples: readonly Sample[],
  disks: readonly LiveDisk[],
  timeMs: number,
): readonly Sample[] {
  const last = samples.at(-1);
  if (disks.length === 0 || (last && timeMs - last.timeMs < SAMPLE_EVERY_MS)) return samples;
  const all = [...samples, { timeMs, readBytes: readBytesOf(disks) }];
  const isOld = ({ timeMs: atMs }: Sample): boolean => atMs <= timeMs - RATE_WINDOW_MS;
  const firstUsed = all.findLastIndex(isOld);
  return firstUsed > 0 ? all.slice(firstUsed) : all;
}

/** Undefined while no disk is read. Events stop when nothing is read, so the time counts too. */
function rateAt(
  { disks, result }: LiveSession,
  samples: readonly Sample[],
  nowMs: number,
): number | undefined {
  const isReading = disks.some((disk) => disk.result === undefined);
  if (result !== undefined || !isReading) return undefined;
  const old = samples.findLast(({ timeMs }) => timeMs <= nowMs - RATE_WINDOW_MS);
  const from = old ?? samples[0];
  if (!from || nowMs - from.timeMs < SHORTEST_RATE_MS) return undefined;
  const bytes = Math.max(0, readBytesOf(disks) - from.readBytes);
  return Math.round((bytes * 1000) / (nowMs - from.timeMs));
}
