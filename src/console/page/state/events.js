// @ts-check
/** Changes of the state by events. */
/** @import { ConsoleEvent, JobRow, LiveSession, TaskRow, VmRow } from '../../contract.ts' */
/** @import { LoggedMessage, State, Toast } from './store.js' */
import { counted, RESULT_WORDS, TASK_TYPE_WORDS, TASK_WORDS } from '../words.js';
import { linkTo } from './router.js';
import { change, getState, vmId } from './store.js';
import { showToast } from './toasts.js';

const KEPT_MESSAGES = 500;
const KEPT_SESSIONS = 12;
/** More that happens at once is told as a number. */
const MOST_SPOKEN = 3;

/**
 * The state as the daemon tells it at the beginning.
 *
 * @param {readonly VmRow[]} vms
 * @param {readonly JobRow[]} jobs
 * @param {readonly LiveSession[]} sessions
 * @param {readonly TaskRow[]} tasks
 * @returns {Partial<State>}
 */
export function stateOf(vms, jobs, sessions, tasks) {
  return {
    vms: new Map(vms.map((vm) => [vmId(vm), vm])),
    jobs: new Map(jobs.map((job) => [job.name, job])),
    sessions: new Map(
      sessions.filter(({ result }) => !result).map((session) => [session.sessionId, session]),
    ),
    tasks: new Map(tasks.map((task) => [task.taskId, task])),
  };
}

/** @param {readonly ConsoleEvent[]} events - in their order */
export function applyEvents(events) {
  const before = getState();
  const vms = new Map(before.vms);
  const jobs = new Map(before.jobs);
  const tasks = new Map(before.tasks);
  const sessions = new Map(before.sessions);
  const messages = [...before.messages];
  let { endedSessions } = before;
  for (const event of events) {
    if (event.type === 'vm') vms.set(vmId(event.vm), event.vm);
    if (event.type === 'job') jobs.set(event.job.name, event.job);
    if (event.type === 'task') tasks.set(event.task.taskId, event.task);
    if (event.type === 'message') messages.unshift(logged(event));
    if (event.type !== 'session') continue;
    const { session } = event;
    if (!session.result) sessions.set(session.sessionId, session);
    else {
      sessions.delete(session.sessionId);
      endedSessions = [session, ...endedSessions].slice(0, KEPT_SESSIONS);
    }
  }
  const has = typesOf(events);
  const newMessages = messages.length - before.messages.length;
  change({
    ...(has.has('vm') ? { vms } : {}),
    ...(has.has('job') ? { jobs } : {}),
    ...(has.has('task') ? { tasks } : {}),
    ...(has.has('session') ? { sessions, endedSessions } : {}),
    ...(newMessages > 0
      ? {
          messages: messages.slice(0, KEPT_MESSAGES),
          unreadCount: before.unreadCount + newMessages,
        }
      : {}),
  });
  tell(before, events);
}

/** @param {readonly ConsoleEvent[]} events @returns {Set<ConsoleEvent['type']>} */
function typesOf(events) {
  return new Set(events.map(({ type }) => type));
}

let lastMessageId = 0;

/** @param {Extract<ConsoleEvent, { type: 'message' }>} event @returns {LoggedMessage} */
function logged({ message, jobName }) {
  const at = new Date().toISOString();
  return { id: ++lastMessageId, at, message, ...(jobName === undefined ? {} : { jobName }) };
}

/**
 * Tells beginnings and ends, and shows warnings and errors.
 *
 * @param {State} before
 * @param {readonly ConsoleEvent[]} events
 */
function tell(before, events) {
  const lines = events.map((event) => spokenLine(before, event)).filter((line) => line !== '');
  if (lines.length > 0) {
    const isMany = lines.length > MOST_SPOKEN;
    change({
      spoken: isMany ? counted(lines.length, 'change') + ' of sessions' : lines.join('. '),
    });
  }
  for (const event of events) {
    if (event.type === 'task') tellTask(before, event.task);
  }
  tellMessages(events.flatMap((event) => (event.type === 'message' ? [event.message] : [])));
}

/** @param {State} before @param {ConsoleEvent} event */
function spokenLine(before, event) {
  if (event.type !== 'session') return '';
  const { sessionId, vmName, result } = event.session;
  if (result) return `Session of ${vmName}: ${RESULT_WORDS[result]}`;
  return before.sessions.has(sessionId) ? '' : `Session of ${vmName} started`;
}

/** @type {Readonly<Record<Exclude<TaskRow['state'], 'running'>, Toast['kind']>>} */
const TASK_KINDS = { done: 'good', failed: 'bad', stopped: 'info' };

/** @param {State} before @param {TaskRow} task */
function tellTask(before, { taskId, state, request, vmName, failure }) {
  if (state === 'running' || before.tasks.get(taskId)?.state === state) return;
  showToast({
    kind: TASK_KINDS[state],
    text: `${TASK_TYPE_WORDS[request.type]} of ${vmName}: ${TASK_WORDS[state]}`,
    ...(failure ? { hint: failure.message } : {}),
    href: linkTo('tasks', taskId),
  });
}

/** @param {readonly { level: string, text: string }[]} messages */
function tellMessages(messages) {
  const worrying = messages.filter(({ level }) => level !== 'info');
  const [first] = worrying;
  if (!first) return;
  const isError = worrying.some(({ level }) => level === 'error');
  showToast({
    kind: isError ? 'bad' : 'warn',
    text: worrying.length === 1 ? first.text : counted(worrying.length, 'new message'),
    href: linkTo('messages'),
  });
}
