/**
 * Limits that all jobs of a process share: sessions of an engine, of a VM, of a storage domain and
 * of a host. Each job asks with its own limits, and all sessions count.
 */
import { type Clock, SYSTEM_CLOCK } from '../clock.ts';
import type { EngineConfig } from '../jobFile.ts';
import { choosePlace, type Line } from './places/placeChoice.ts';
import { type GatedSession, type GateLimits, PlacedSessions } from './places/placedSessions.ts';
import { WaitingSessions } from './places/waitingSessions.ts';

/** A session that wants to start. */
export interface WaitingSession extends GatedSession {
  /** Starts the session, which has its place now. `leave` gives it back, and is called once. */
  readonly start: (leave: () => void) => void;
}

/** The VMs of one run that want to start. */
export interface LineOptions extends Pick<Line<WaitingSession>, 'priority' | 'parallelVms'> {
  readonly limits: GateLimits;
  /** In the order in which they are to start. */
  readonly sessions: readonly WaitingSession[];
  /** Asked before each start. When it says no, the line has to be closed soon. */
  readonly mayStart: () => boolean;
}

/** A run that waits in a gate. */
export interface GateLine {
  /** Settles when no session waits any more: all have started, or the line is closed. */
  readonly isEmpty: Promise<void>;
  /** Sessions that wait are not started any more. Those that run keep their places. */
  close(): void;
}

class OpenLine implements Line<WaitingSession>, GateLine {
  readonly priority: number;
  readonly parallelVms: number;
  readonly waiting: WaitingSessions<WaitingSession>;
  readonly mayStart: () => boolean;
  readonly isEmpty: Promise<void>;
  active = 0;
  sinceMs: number;
  close: () => void = () => {};

  constructor(options: LineOptions, nowMs: number, onClose: (line: OpenLine) => void) {
    this.priority = options.priority;
    this.parallelVms = options.parallelVms;
    this.waiting = new WaitingSessions(options.sessions, options.limits);
    this.mayStart = options.mayStart;
    this.sinceMs = nowMs;
    this.isEmpty = new Promise((resolve) => {
      this.close = () => {
        onClose(this);
        resolve();
      };
    });
  }
}

/** Sessions of one engine that run in this process, and those that wait. */
export class EngineGate {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #placed = new PlacedSessions();
  readonly #lines = new Set<OpenLine>();

  constructor(clock: Pick<Clock, 'now'> = SYSTEM_CLOCK) {
    this.#clock = clock;
  }

  /** Starts the sessions, each when it gets a place: some of them before this returns. */
  join(options: LineOptions): GateLine {
    const line = new OpenLine(options, this.#nowMs(), (closed) => this.#lines.delete(closed));
    this.#lines.add(line);
    if (line.waiting.size === 0) line.close();
    this.#fill();
    return line;
  }

  /** Gives all free places away. Each change comes here, so no session waits beside a free one. */
  #fill(): void {
    for (;;) {
      const lines = [...this.#lines].filter((line) => line.mayStart());
      const choice = choosePlace<WaitingSession, OpenLine>(lines, this.#placed, this.#nowMs());
      if (!choice) return;
      this.#place(choice.line, choice.session);
    }
  }

  #place(line: OpenLine, session: WaitingSession): void {
    this.#placed.add(session);
    line.waiting.remove(session);
    line.active++;
    line.sinceMs = this.#nowMs();
    if (line.waiting.size === 0) line.close();
    session.start(() => this.#leave(line, session));
  }

  #leave(line: OpenLine, session: WaitingSession): void {
    // Until now it has waited for itself, not for others.
    if (line.active >= line.parallelVms) line.sinceMs = this.#nowMs();
    line.active--;
    this.#placed.remove(session);
    this.#fill();
  }

  #nowMs(): number {
    return this.#clock.now().getTime();
  }
}

/** The gates of all engines. The jobs of a process share one object. */
export class EngineGates {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #gates = new Map<string, EngineGate>();

  constructor(clock: Pick<Clock, 'now'> = SYSTEM_CLOCK) {
    this.#clock = clock;
  }

  /** Two names of one engine in the job file share a gate. */
  of({ url }: Pick<EngineConfig, 'url'>): EngineGate {
    const key = (URL.canParse(url) ? new URL(url).href : url).replace(/\/+$/, '');
    const known = this.#gates.get(key);
    if (known) return known;
    const gate = new EngineGate(this.#clock);
    this.#gates.set(key, gate);
    return gate;
  }
}
