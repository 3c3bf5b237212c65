// @ts-check
/** What the page knows, and the hook by which views read it. */
/** @import { JobRow, LiveSession, Role, TaskRow, VmRow } from '../../contract.ts' */
/** @import { SessionMessage } from '../../../core/messages.ts' */
import { useEffect, useRef, useState } from '../vendor/preact.js';

/**
 * @typedef {object} Me
 * @property {Role} role
 * @property {string} csrfToken
 * @property {string} productVersion
 * @property {boolean} restoreFolder - true when disks can be restored to files
 *
 * @typedef {object} LoggedMessage
 * @property {number} id
 * @property {string} at - ISO 8601
 * @property {string} [jobName]
 * @property {SessionMessage} message
 *
 * @typedef {object} Toast
 * @property {number} id
 * @property {'info' | 'good' | 'warn' | 'bad'} kind
 * @property {string} text
 * @property {string} [hint]
 * @property {string} [href]
 *
 * @typedef {object} State
 * @property {'unknown' | 'in' | 'out' | 'expired'} login
 * @property {Me | undefined} me
 * @property {'connecting' | 'open' | 'lost'} connection
 * @property {boolean} isLoaded - true when the first state has come
 * @property {ReadonlyMap<string, VmRow>} vms - by {@link vmId}
 * @property {ReadonlyMap<string, JobRow>} jobs
 * @property {ReadonlyMap<string, LiveSession>} sessions - those that run
 * @property {readonly LiveSession[]} endedSessions - newest first
 * @property {ReadonlyMap<string, TaskRow>} tasks
 * @property {readonly LoggedMessage[]} messages - newest first
 * @property {number} unreadCount
 * @property {readonly Toast[]} toasts
 * @property {string} spoken - for screen readers: what began or ended
 * @property {number} nowMs - renewed each half minute
 */

/** @type {State} */
const START = {
  login: 'unknown',
  me: undefined,
  connection: 'connecting',
  isLoaded: false,
  vms: new Map(),
  jobs: new Map(),
  sessions: new Map(),
  endedSessions: [],
  tasks: new Map(),
  messages: [],
  unreadCount: 0,
  toasts: [],
  spoken: '',
  nowMs: Date.now(),
};
const CLOCK_MS = 30_000;

let state = START;
/** @type {Set<() => void>} */
const listeners = new Set();

export function getState() {
  return state;
}

/** @param {Partial<State>} changes */
export function change(changes) {
  state = { ...state, ...changes };
  for (const tell of listeners) tell();
}

/** Forgets everything that a login has shown. @param {State['login']} login */
export function forget(login) {
  change({ ...START, login, nowMs: Date.now() });
}

/**
 * A part of the state. The view is drawn again when the part becomes another object or value.
 *
 * @template T
 * @param {(state: State) => T} pick
 * @returns {T}
 */
export function useStore(pick) {
  const [, draw] = useState(0);
  const value = pick(state);
  const last = useRef({ pick, value });
  last.current = { pick, value };
  useEffect(() => {
    const tell = () => {
      if (last.current.pick(state) !== last.current.value) draw((count) => count + 1);
    };
    listeners.add(tell);
    // The state may have changed between drawing and this effect.
    tell();
    return () => void listeners.delete(tell);
  }, []);
  return value;
}

/** True for a user who may start and stop things. */
export function useIsOperator() {
  return useStore(({ me }) => me?.role === 'operator');
}

export function startClock() {
  setInterval(() => change({ nowMs: Date.now() }), CLOCK_MS);
}

/** A VM is unique in a job only. @param {Pick<VmRow, 'jobName' | 'vmKey'>} vm */
export function vmId({ jobName, vmKey }) {
  return JSON.stringify([jobName, vmKey]);
}
