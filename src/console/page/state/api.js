// @ts-check
/** Requests to the daemon. */
/** @import { Chain, DiskMap, JobRow, LiveSession, PointName } from '../../contract.ts' */
/** @import { RepositoryRow, RunRow } from '../../contract.ts' */
/** @import { TaskRequest, TaskRow, VmRow, WorkerRow } from '../../contract.ts' */
/** @import { Me } from './store.js' */
import { change, forget, getState } from './store.js';

const BASE = new URL('api/v1/', document.baseURI);
export const EVENTS_URL = new URL('events', BASE).href;

export class ApiError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {string} hint
   * @param {number} status - of HTTP; 0 when there was no answer
   */
  constructor(code, message, hint, status) {
    super(message);
    this.code = code;
    this.hint = hint;
    this.status = status;
  }

  /** @param {unknown} error */
  static of(error) {
    return error instanceof ApiError ? error : new ApiError('PAGE', String(error), '', 0);
  }
}

/** @param {...string} parts - of a path; each is encoded */
function pathOf(...parts) {
  return parts.map(encodeURIComponent).join('/');
}

/** @param {Response} answer */
async function errorOf(answer) {
  const body = await answer.json().catch(() => ({}));
  const { code = 'HTTP', message = '', hint = '' } = body.error ?? {};
  return new ApiError(
    code,
    message || `the daemon answers HTTP ${answer.status}`,
    hint,
    answer.status,
  );
}

/**
 * @param {string} path
 * @param {RequestInit} [init]
 */
async function send(path, init = {}) {
  const headers = new Headers(init.headers);
  if (init.body) headers.set('content-type', 'application/json');
  if (init.method) headers.set('x-csrf-token', getState().me?.csrfToken ?? '');
  const answer = await fetch(new URL(path, BASE), { cache: 'no-store', ...init, headers }).catch(
    () => {
      throw new ApiError(
        'CONNECTION',
        'The daemon does not answer',
        'check the network and the daemon',
        0,
      );
    },
  );
  if (answer.ok || answer.status === 304) return answer;
  const error = await errorOf(answer);
  if (answer.status === 401 && getState().login === 'in') forget('expired');
  throw error;
}

/** @param {string} path */
async function read(path) {
  const answer = await send(path);
  return await answer.json();
}

/** @param {string} method @param {string} path @param {unknown} [content] */
async function act(method, path, content) {
  const answer = await send(path, {
    method,
    ...(content === undefined ? {} : { body: JSON.stringify(content) }),
  });
  const text = await answer.text();
  return text === '' ? undefined : JSON.parse(text);
}

/** Reads who is logged in. @returns {Promise<Me>} */
export async function readMe() {
  const me = await read('me');
  change({ me, login: 'in' });
  return me;
}

/**
 * The cookie is hidden from the page. Without this mark no request is made that would be refused.
 */
const LOGIN_MARK = 'ovirt-cbt-login';

export function wasLoggedIn() {
  return localStorage.getItem(LOGIN_MARK) !== null;
}

/** @param {string} token */
export async function login(token) {
  change({ me: await act('POST', 'login', { token }), login: 'in' });
  localStorage.setItem(LOGIN_MARK, 'yes');
}

export async function logout() {
  await act('POST', 'logout');
  localStorage.removeItem(LOGIN_MARK);
  forget('out');
}

/** @type {{ etag: string, vms: readonly VmRow[] }} */
let lastVms = { etag: '', vms: [] };

/** @returns {Promise<readonly VmRow[]>} */
export async function readVms() {
  const answer = await send('vms', {
    headers: lastVms.etag ? { 'if-none-match': lastVms.etag } : {},
  });
  if (answer.status !== 304) {
    lastVms = { etag: answer.headers.get('etag') ?? '', vms: await answer.json() };
  }
  return lastVms.vms;
}

/** @returns {Promise<readonly JobRow[]>} */
export const readJobs = () => read('jobs');
/** @returns {Promise<readonly LiveSession[]>} */
export const readSessions = () => read('sessions');
/** @returns {Promise<readonly TaskRow[]>} */
export const readTasks = () => read('tasks');
/** @returns {Promise<readonly RepositoryRow[]>} */
export const readRepositories = () => read('repositories');
/** @returns {Promise<readonly WorkerRow[]>} */
export const readWorkers = () => read('workers');

/**
 * @param {string | undefined} jobName
 * @param {number} most
 * @returns {Promise<readonly RunRow[]>}
 */
export function readRuns(jobName, most) {
  const query = new URLSearchParams({ most: String(most), ...(jobName ? { job: jobName } : {}) });
  return read(`runs?${query}`);
}

/** @param {string} jobName @param {string} vmKey @returns {Promise<Chain>} */
export function readChain(jobName, vmKey) {
  return read(`${pathOf('jobs', jobName, 'vms', vmKey)}/chain`);
}

/** @param {PointName} point @returns {Promise<readonly DiskMap[]>} */
export function readMap({ jobName, vmKey, pointId }) {
  return read(`${pathOf('jobs', jobName, 'vms', vmKey, 'points', pointId)}/map`);
}

/** @param {string} runId */
export function runPageUrl(runId) {
  return new URL(`${pathOf('runs', runId)}/page`, BASE).href;
}

/**
 * @param {string} jobName
 * @param {readonly string[]} [only] - keys of VMs
 * @returns {Promise<{ runId: string }>}
 */
export function startRun(jobName, only) {
  return act('POST', `${pathOf('jobs', jobName)}/runs`, only ? { only } : {});
}

/** @param {string} runId */
export function stopRun(runId) {
  return act('DELETE', pathOf('runs', runId));
}

/** @param {TaskRequest} request @returns {Promise<TaskRow>} */
export function startTask(request) {
  return act('POST', 'tasks', request);
}

/** @param {string} taskId */
export function stopTask(taskId) {
  return act('DELETE', pathOf('tasks', taskId));
}
