/**
 * The list of faults of a lab. Every fault sees every request, in the order in which faults were
 * added. Chance comes from a seeded generator only, so that a test can be repeated.
 */
import type { LabAction, LabFault, LabFaults, LabMatch } from '../types.ts';

/** Facts of a request that faults are matched with. */
export interface LabRequestFacts {
  readonly server: 'engine' | 'imageio';
  readonly method: string;
  /** With query, without origin. */
  readonly path: string;
  readonly phase?: string | undefined;
  readonly diskId?: string | undefined;
}

interface FaultState {
  matchedCount: number;
  firedCount: number;
}

/** Mulberry32, with 32 bits of state. */
function createGenerator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function isMet<T>(wanted: T | undefined, actual: T | undefined): boolean {
  return wanted === undefined || wanted === actual;
}

function isMatch(match: LabMatch, facts: LabRequestFacts): boolean {
  return (
    isMet(match.server, facts.server) &&
    isMet(match.method?.toUpperCase(), facts.method) &&
    isMet(match.phase, facts.phase) &&
    isMet(match.diskId, facts.diskId) &&
    // `test` would keep its position in a global expression; `search` does not.
    (match.path === undefined || facts.path.search(match.path) >= 0)
  );
}

/**
 * With `nth` the fault is due for `times` requests from that one on, otherwise for the first
 * `times`.
 */
function isDue(match: LabMatch, state: FaultState): boolean {
  const { nth } = match;
  if (nth === undefined) return state.firedCount < (match.times ?? Number.POSITIVE_INFINITY);
  return state.matchedCount >= nth && state.matchedCount < nth + (match.times ?? 1);
}

/** True for an action that ends the request. Later faults cannot fire then. */
function isDecisive(action: LabAction): boolean {
  return action.reset === true || action.hang === true || action.status !== undefined;
}

export class LabFaultList implements LabFaults {
  readonly #active = new Map<LabFault, FaultState>();
  /** Kept after removal, for {@link fired}. */
  readonly #states = new WeakMap<LabFault, FaultState>();
  #firedCount = 0;
  #random = createGenerator(1);

  add(match: LabMatch, action: LabAction): LabFault {
    const fault: LabFault = { match, action };
    const state: FaultState = { matchedCount: 0, firedCount: 0 };
    this.#active.set(fault, state);
    this.#states.set(fault, state);
    return fault;
  }

  remove(fault: LabFault): void {
    this.#active.delete(fault);
  }

  clear(): void {
    this.#active.clear();
  }

  seed(seed: number): void {
    this.#random = createGenerator(seed);
  }

  fired(fault: LabFault): number {
    return this.#states.get(fault)?.firedCount ?? 0;
  }

  get firedCount(): number {
    return this.#firedCount;
  }

  /**
   * Shows a request to all faults. Every matching fault counts it. Those that are due fire, up to
   * the first decisive one.
   * @returns the actions that fire, in the order in which their faults were added
   */
  meet(facts: LabRequestFacts): readonly LabAction[] {
    const actions: LabAction[] = [];
    for (const [{ match, action }, state] of this.#active) {
      if (!isMatch(match, facts)) continue;
      state.matchedCount += 1;
      if (actions.some(isDecisive) || !isDue(match, state)) continue;
      if (match.probability !== undefined && this.#random() >= match.probability) continue;
      state.firedCount += 1;
      this.#firedCount += 1;
      actions.push(action);
    }
    return actions;
  }
}
