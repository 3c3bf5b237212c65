// @ts-check
/** How far a session is, and how long it will take, from the events of its last half minute. */
/** @import { LiveSession } from '../../contract.ts' */
/** @typedef {{ atMs: number, doneBytes: number }} Sample */

const KEPT_MS = 30_000;
/** A time left from a shorter span would jump. */
const LEAST_SPAN_MS = 2000;
/** Samples closer than that add nothing. */
const STEP_MS = 500;

/** @type {Map<string, { phase: string, samples: Sample[] }>} */
const noted = new Map();

/** @param {LiveSession} session @param {number} nowMs */
export function noteProgress(session, nowMs) {
  const { sessionId, phase, result } = session;
  if (result) {
    noted.delete(sessionId);
    return;
  }
  const before = noted.get(sessionId);
  const samples = before?.phase === phase ? before.samples : [];
  const sample = { atMs: nowMs, doneBytes: totalsOf(session).doneBytes };
  const last = samples.at(-1);
  const isClose = last !== undefined && samples.length > 1 && nowMs - last.atMs < STEP_MS;
  const kept = samples.filter(({ atMs }) => nowMs - atMs <= KEPT_MS);
  noted.set(sessionId, { phase, samples: isClose ? samples : [...kept, sample] });
}

/**
 * @param {LiveSession} session
 * @returns {{ doneBytes: number, dataBytes: number | undefined }} `dataBytes` is undefined while
 * the data of some disk is not known
 */
export function totalsOf({ disks }) {
  const isKnown = disks.length > 0 && disks.every(({ dataBytes }) => dataBytes !== undefined);
  return {
    doneBytes: disks.reduce((sum, { doneBytes }) => sum + doneBytes, 0),
    dataBytes: isKnown ? disks.reduce((sum, { dataBytes = 0 }) => sum + dataBytes, 0) : undefined,
  };
}

/** Milliseconds that the data needs at the present rate. @param {LiveSession} session */
export function timeLeftMs(session) {
  const { dataBytes } = totalsOf(session);
  const samples = noted.get(session.sessionId)?.samples ?? [];
  const [first, last] = [samples.at(0), samples.at(-1)];
  if (!first || !last || dataBytes === undefined) return undefined;
  const [spanMs, bytes] = [last.atMs - first.atMs, last.doneBytes - first.doneBytes];
  if (spanMs < LEAST_SPAN_MS || bytes <= 0) return undefined;
  return ((dataBytes - last.doneBytes) / bytes) * spanMs;
}
