/** Names of keys and queues on the server. The number is that of the protocol. */
import { createHash } from 'node:crypto';
import { UsageError } from '../core/errors.ts';

export const PROTOCOL = 1;
/** All keys of a fleet begin so. */
export const PREFIX: string = `ovirt-cbt:${PROTOCOL}`;
/** Queue of the sessions that any worker may take. */
export const COMMON_QUEUE = 'sessions';

export const PLANNER_KEY: string = `${PREFIX}:planner`;
/** Set of the names of all queues that were used. */
export const QUEUES_KEY: string = `${PREFIX}:queues`;
export const WORKERS_KEY: string = `${PREFIX}:workers`;
/** Channel that tells the name of a queue to which a session was sent. */
export const SENT_CHANNEL: string = `${PREFIX}:sent`;
/** Channel that tells the id of a session whose result is there. */
export const ENDED_CHANNEL: string = `${PREFIX}:ended`;

const LABEL_PART = '[a-z0-9][a-z0-9._-]{0,63}';
/** As `workerLabel` of a job file. */
const LABEL = new RegExp(`^${LABEL_PART}=${LABEL_PART}$`, 'i');
export const QUEUE_NAME: RegExp = /^[A-Za-z0-9._=-]{1,140}$/;
const PLAIN_ID = /^[\w-]{1,64}$/;

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` for a label that cannot be used */
export function checkLabel(label: string): string {
  if (LABEL.test(label)) return label;
  throw new UsageError('USAGE_INVALID_OPTION', `"${label}" cannot be the label of a worker`, {
    hint: 'write it as workerLabel of the job, name=value, for example: site=a',
  });
}

export function queueName(label: string | undefined): string {
  return label === undefined ? COMMON_QUEUE : `label-${label}`;
}

export function workerKey(workerToken: string): string {
  return `${PREFIX}:worker:${workerToken}`;
}

export interface SessionName {
  readonly runId: string;
  /** Name or id of the VM, for a VM without an id. */
  readonly label: string;
  readonly vmId: string;
  readonly attempt: number;
}

/**
 * Names a session of a VM in a run, the same for each planner that continues the run. It holds no
 * colon, because the queue allows none.
 */
export function sessionId({ runId, label, vmId, attempt }: SessionName): string {
  const hash = createHash('sha256').update(label).digest('base64url').slice(0, 22);
  const vm = PLAIN_ID.test(vmId) ? vmId : `name-${hash}`;
  return `${runId}.${vm}.${attempt}`;
}

/** Hash with the state of a session, and with its results. */
export function stateKey(id: string): string {
  return `${PREFIX}:session:${id}`;
}

/** Stream of the events of a session. */
export function feedKey(id: string): string {
  return `${PREFIX}:feed:${id}`;
}

/** Held by the worker that runs a session. */
export function leaseKey(jobId: string): string {
  return `${PREFIX}:lease:${jobId}`;
}

/** Id of a job of the queue: a session may be sent several times. */
export function jobIdOf(id: string, send: number): string {
  return `${id}.${send}`;
}

/** Field of the hash of a session. */
export function outcomeField(send: number | ''): string {
  return `outcome:${send}`;
}
