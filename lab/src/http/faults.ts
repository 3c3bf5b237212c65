/**
 * The list of faults of a lab. Every request is shown to every fault, in the order of their adding; chance
 * comes from a seeded generator only, so that a run repeats.
 */
import type { LabAction, LabFault, LabFaults, LabMatch } from '../types.ts';

/** What a fault can be matched against. */
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

/** Mulberry32: 32 bits of state, good enough to scatter faults. */
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
    // `search` ignores the state that `test` keeps in global expressions.
    (match.path === undefined || facts.path.search(match.path) >= 0)
  );
}

/** With `nth` the fault is due for `times` requests in a row from there, else for the first `times`. */
function isDue(match: LabMatch, state: FaultState): boolean {
  const { nth } = match;
  if (nth === undefined) return state.firedCount < (match.times ?? Number.POSITIVE_INFINITY);
  return state.matchedCount >= nth && state.matchedCount < nth + (match.times ?? 1);
}

/** True for an action after which the request has met its end: later faults cannot fire. */
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
   * Shows a request to all faults; all count it, and those that are due fire, up to the first decisive one.
   *
   * @returns the actions that fire, in the order of their adding.
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
