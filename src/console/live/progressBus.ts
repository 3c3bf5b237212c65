/**
 * The sessions that run now. Their events come often, so small changes are told once a second.
 */
import type { ProgressEvent } from '../../sessions/shared/progress.ts';
import type { LiveSession } from '../contract.ts';
import type { ConsoleEvents } from './events.ts';
import {
  afterEvent,
  newSession,
  sessionAt,
  type SessionOrigin,
  type SessionState,
} from './sessionState.ts';

const FLUSH_EVERY_MS = 1000;
/** Far more than a fleet runs at once. Sessions above it are not shown. */
const MAX_SESSIONS = 5000;

/** These are told at once. */
const AT_ONCE: ReadonlySet<ProgressEvent['type']> = new Set([
  'phase',
  'waiting',
  'resumed',
  'disksPlanned',
  'ended',
]);

export interface BusOptions {
  readonly events: ConsoleEvents;
  readonly nowMs: () => number;
  /** A VM of a job has a session now, or has none any more. */
  readonly onVm: (jobName: string, vmKey: string) => void;
}

interface Tracked {
  state: SessionState;
  /** Its changes are told by the next flush. */
  isDirty: boolean;
  toldRate: number | undefined;
}

export class ProgressBus implements Disposable {
  readonly #options: BusOptions;
  readonly #sessions = new Map<string, Tracked>();
  /** Session of each VM of a job. */
  readonly #ofVms = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: BusOptions) {
    this.#options = options;
  }

  get sessions(): readonly LiveSession[] {
    const nowMs = this.#options.nowMs();
    return [...this.#sessions.values()].map(({ state }) => sessionAt(state, nowMs));
  }

  /** Id of the session of a VM in a run that goes on. */
  sessionOf(jobName: string, vmKey: string): string | undefined {
    return this.#ofVms.get(placeOf(jobName, vmKey));
  }

  onProgress(event: ProgressEvent, origin: SessionOrigin): void {
    const nowMs = this.#options.nowMs();
    const known = this.#sessions.get(event.sessionId);
    if (!known && (event.type === 'ended' || this.#sessions.size >= MAX_SESSIONS)) return;
    const before = known?.state ?? newSession(event, origin, nowMs);
    const tracked = known ?? { state: before, isDirty: true, toldRate: undefined };
    tracked.state = afterEvent(before, event, nowMs);
    if (!known) this.#sessions.set(event.sessionId, tracked);
    this.#noteVm(before.session, tracked.state.session);
    if (!known || AT_ONCE.has(event.type)) this.#publish(tracked);
    else tracked.isDirty = true;
    if (event.type === 'ended') this.#remove(tracked.state.session);
    else this.#timer ??= setInterval(() => this.#flush(), FLUSH_EVERY_MS).unref();
  }

  /** Ends sessions that have not told their end, such as those of a worker that was lost. */
  end(origin: Pick<SessionOrigin, 'runId'> | Pick<SessionOrigin, 'taskId'>): void {
    const [[key, id] = []] = Object.entries(origin) as ['runId' | 'taskId', string][];
    for (const { state } of this.#sessions.values()) {
      const { session } = state;
      if (key === undefined || session[key] !== id) continue;
      const { sessionId, vmName, vmId } = session;
      const facts = { sessionId, vmName, vmId, worker: session.worker };
      this.onProgress({ type: 'ended', result: 'cancelled', ...facts }, {});
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#sessions.clear();
  }

  #publish(tracked: Tracked): void {
    const { events, nowMs } = this.#options;
    const session = sessionAt(tracked.state, nowMs());
    tracked.isDirty = false;
    tracked.toldRate = session.readBytesPerSecond;
    events.publish({ type: 'session', session });
  }

  /** A rate changes also when nothing happens. */
  #flush(): void {
    const { events, nowMs } = this.#options;
    if (!events.isWatched) return;
    for (const tracked of this.#sessions.values()) {
      const { readBytesPerSecond } = sessionAt(tracked.state, nowMs());
      if (tracked.isDirty || readBytesPerSecond !== tracked.toldRate) this.#publish(tracked);
    }
  }

  #noteVm(before: LiveSession, { jobName, vmId, vmName, sessionId }: LiveSession): void {
    if (jobName === undefined) return;
    const key = vmId || vmName;
    const place = placeOf(jobName, key);
    if (this.#ofVms.get(place) === sessionId) return;
    this.#forgetVm(before);
    this.#ofVms.set(place, sessionId);
    this.#options.onVm(jobName, key);
  }

  #forgetVm({ jobName, vmId, vmName, sessionId }: LiveSession): string | undefined {
    const key = vmId || vmName;
    const place = placeOf(jobName ?? '', key);
    // Another session of the VM may have begun meanwhile.
    if (this.#ofVms.get(place) !== sessionId) return undefined;
    this.#ofVms.delete(place);
    return key;
  }

  #remove(session: LiveSession): void {
    this.#sessions.delete(session.sessionId);
    const key = this.#forgetVm(session);
    if (key !== undefined) this.#options.onVm(session.jobName ?? '', key);
    if (this.#sessions.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function placeOf(jobName: string, vmKey: string): string {
  return `${jobName}/${vmKey}`;
}
