// @ts-check
/**
 * The stream of events, and the state that it keeps up to date. After a lost connection it connects
 * again, after longer and longer waits, and reads the whole state.
 */
/** @import { ConsoleEvent } from '../../contract.ts' */
import { EVENTS_URL, readJobs, readMe, readSessions, readTasks, readVms } from './api.js';
import { applyEvents, stateOf } from './events.js';
import { noteProgress } from './progress.js';
import { change, getState } from './store.js';
import { showToast } from './toasts.js';

const FIRST_WAIT_MS = 1000;
const MOST_WAIT_MS = 30_000;
/** Events of this time are shown at once, so that a busy daemon does not keep the page busy. */
const GATHER_MS = 200;
/** Signs of life that may be missing. */
const MISSED_BEATS = 3;
const TYPES = /** @type {const} */ (['session', 'vm', 'job', 'task', 'message']);

/** @type {EventSource | undefined} */
let source;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let retryTimer;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let gatherTimer;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let silenceTimer;
/** Longest silence of a stream that lives; the daemon tells it. */
let mostSilenceMs = 0;
let waitMs = FIRST_WAIT_MS;
/** @type {ConsoleEvent[]} */
let gathered = [];
/** True from `hello` until the state is read: events that come meanwhile are newer than it. */
let isReading = false;

export function connect() {
  disconnect();
  const own = new EventSource(EVENTS_URL);
  source = own;
  own.addEventListener('hello', ({ data }) => {
    mostSilenceMs = MISSED_BEATS * JSON.parse(data).heartbeatMs;
    expectLife();
    void readState(own);
  });
  own.addEventListener('heartbeat', expectLife);
  own.addEventListener('error', () => {
    if (source === own) lost();
  });
  for (const type of TYPES) {
    own.addEventListener(type, ({ data }) => gather(JSON.parse(data)));
  }
}

/** A network that swallows everything ends no connection. */
function expectLife() {
  clearTimeout(silenceTimer);
  silenceTimer = setTimeout(lost, mostSilenceMs);
}

export function disconnect() {
  source?.close();
  source = undefined;
  clearTimeout(retryTimer);
  clearTimeout(silenceTimer);
  clearTimeout(gatherTimer);
  gatherTimer = undefined;
  gathered = [];
  isReading = false;
}

/** @param {EventSource} own */
async function readState(own) {
  isReading = true;
  try {
    const [, vms, jobs, sessions, tasks] = await Promise.all([
      readMe(),
      readVms(),
      readJobs(),
      readSessions(),
      readTasks(),
    ]);
    if (source !== own) return;
    if (getState().connection === 'lost')
      showToast({ kind: 'good', text: 'The connection is back' });
    change({ ...stateOf(vms, jobs, sessions, tasks), connection: 'open', isLoaded: true });
    waitMs = FIRST_WAIT_MS;
    isReading = false;
    show();
  } catch {
    if (source === own) lost();
  }
}

function lost() {
  disconnect();
  if (getState().login !== 'in') return;
  change({ connection: 'lost' });
  retryTimer = setTimeout(() => void tryAgain(), waitMs);
  waitMs = Math.min(MOST_WAIT_MS, waitMs * 2);
}

/** An event source does not tell the status of an answer, so a request asks for it first. */
export async function tryAgain() {
  clearTimeout(retryTimer);
  try {
    await readMe();
    connect();
  } catch {
    lost();
  }
}

/** @param {ConsoleEvent} event */
function gather(event) {
  gathered.push(event);
  gatherTimer ??= setTimeout(show, GATHER_MS);
}

function show() {
  clearTimeout(gatherTimer);
  gatherTimer = undefined;
  if (isReading || gathered.length === 0) return;
  const events = gathered;
  gathered = [];
  for (const event of events) {
    if (event.type === 'session') noteProgress(event.session, performance.now());
  }
  applyEvents(events);
}

function wake() {
  const { connection, login } = getState();
  if (login === 'in' && connection === 'lost' && !document.hidden) void tryAgain();
}

/** A telephone that wakes up, and a network that is back, are not kept waiting. */
export function watchNetwork() {
  addEventListener('online', wake);
  document.addEventListener('visibilitychange', wake);
}
