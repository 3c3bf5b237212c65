/**
 * The folder where jobs keep their state: a folder for each job file, and in it one for each job.
 *
 * ```
 * <place>/<job file>-<hash>/daemon/lock
 *                           job-<name>/state.json, run/lock, write/lock
 * ```
 */
import { createHash } from 'node:crypto';
import { realpath, rename } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { BackupError, errnoOf, OutputError, RepositoryError } from '../../core/errors.ts';
import { sessionMessage, type SessionMessage } from '../../core/messages.ts';
import { ChainLock } from '../../store/folder/chainLock.ts';
import { makeFolder, readText, writeDurableShared } from '../../store/folder/durableFile.ts';
import type { JobFile } from '../jobFile.ts';
import type { JobState } from '../jobState.ts';
import { newState } from './applyRun.ts';
import { formatState, MAX_STATE_BYTES, parseState } from './stateFile.ts';

const STATE_FILE = 'state.json';
/** How long a change of a state waits for that of another process. */
const WRITE_WAIT_MS = 20_000;
const WRITE_POLL_MS = 25;
const HASH_CHARS = 12;
const PLACE_OF_SYSTEM = '/var/lib/ovirt-cbt';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The place of all job files: of the file, of the systemd unit, or of the user. */
function placeOf(file: Pick<JobFile, 'stateFolder'>, environment: Environment): string {
  if (file.stateFolder !== undefined) return file.stateFolder;
  const ofUnit = environment['STATE_DIRECTORY']?.split(':')[0];
  if (ofUnit) return ofUnit;
  const ofUser = environment['XDG_STATE_HOME'];
  if (ofUser) return path.join(ofUser, 'ovirt-cbt');
  // As in the units, so that a run by hand knows of a run of a timer.
  if (process.getuid?.() === 0) return PLACE_OF_SYSTEM;
  return path.join(homedir(), '.local', 'state', 'ovirt-cbt');
}

/** Two files of one name in different folders get different keys. */
async function keyOf(file: string): Promise<string> {
  const real = await realpath(file).catch(() => path.resolve(file));
  const hash = createHash('sha256').update(real).digest('hex').slice(0, HASH_CHARS);
  const base = path
    .basename(real)
    .replaceAll(/[^\w.-]/g, '_')
    .replaceAll(/^\.+/g, '');
  return `${base.slice(0, 100)}-${hash}`;
}

/** Errors of the state folder are no errors of a repository, so their hints name the folder. */
async function guarded<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const isOfSystem = error instanceof RepositoryError || errnoOf(error) !== undefined;
    if (!isOfSystem || isLocked(error)) throw error;
    const isFull = error instanceof BackupError && error.code === 'REPOSITORY_FULL';
    const text = error instanceof Error ? error.message : String(error);
    throw new OutputError(isFull ? 'OUTPUT_FULL' : 'OUTPUT_IO', `state of jobs: ${text}`, {
      cause: error,
      hint: `check the space and the permissions of ${folder}, or set "stateFolder" in the job file`,
    });
  }
}

function isLocked(error: unknown): error is RepositoryError {
  return error instanceof RepositoryError && error.code === 'REPOSITORY_LOCKED';
}

/** The right to run a job, or to be the daemon. Its lease is renewed while it is held. */
export interface HeldRight extends AsyncDisposable {
  /** Aborted, with the error as reason, when another process took the right over. */
  readonly lost: AbortSignal;
  /** @throws {@link RepositoryError} when another process took the right over */
  assertHeld(): Promise<void>;
}

export class StateFolder {
  /** Absolute path of the folder of this job file. */
  readonly path: string;
  readonly #jobNames: readonly string[];
  readonly #onMessage: (message: SessionMessage) => void;

  private constructor(
    folder: string,
    jobNames: readonly string[],
    onMessage: (message: SessionMessage) => void,
  ) {
    this.path = folder;
    this.#jobNames = jobNames;
    this.#onMessage = onMessage;
  }

  /**
   * Opens the folder of a job file, and makes it with mode 0700 where it is missing. The place is
   * `stateFolder` of the file, `$STATE_DIRECTORY`, `$XDG_STATE_HOME/ovirt-cbt`,
   * `/var/lib/ovirt-cbt` for root, or `~/.local/state/ovirt-cbt`.
   *
   * @param onMessage - told of a state that is damaged (JOB-630).
   * @throws {@link OutputError} `OUTPUT_IO`, `OUTPUT_FULL`
   */
  static async open(
    file: Pick<JobFile, 'path' | 'stateFolder' | 'jobs'>,
    environment: Environment = process.env,
    onMessage: (message: SessionMessage) => void = () => {},
  ): Promise<StateFolder> {
    const state = await StateFolder.find(file, environment, onMessage);
    await guarded(state.path, async () => await makeFolder(state.path));
    return state;
  }

  /** As {@link open}, but makes no folder: without one all states are new. */
  static async find(
    file: Pick<JobFile, 'path' | 'stateFolder' | 'jobs'>,
    environment: Environment = process.env,
    onMessage: (message: SessionMessage) => void = () => {},
  ): Promise<StateFolder> {
    const folder = path.join(placeOf(file, environment), await keyOf(file.path));
    return new StateFolder(folder, [...file.jobs.keys()], onMessage);
  }

  /**
   * State of a job; a new one when there is none. A damaged file is moved aside and told.
   *
   * @throws {@link OutputError} `OUTPUT_IO` when the file cannot be read
   */
  async read(job: string): Promise<JobState> {
    const file = this.#fileOf(job, STATE_FILE);
    const text = await guarded(this.path, async () => await textOf(file));
    if (text === undefined) return newState(job);
    try {
      return parseState(text, job);
    } catch (error) {
      await this.#moveAside(job, file, error);
      return newState(job);
    }
  }

  /** States of all jobs of the file, in its order. */
  async readAll(): Promise<JobState[]> {
    return await Promise.all(this.#jobNames.map(async (job) => await this.read(job)));
  }

  /**
   * Replaces the state of a job: whole or not at all, mode 0600. To change a state, use
   * {@link update}: it loses no change of others.
   *
   * @throws {@link OutputError} `OUTPUT_IO`, `OUTPUT_FULL`
   */
  async write(state: JobState): Promise<void> {
    const file = this.#fileOf(state.jobName, STATE_FILE);
    await guarded(this.path, async () => {
      await makeFolder(path.dirname(file));
      await writeDurableShared(file, formatState(state));
    });
  }

  /**
   * Reads, changes and writes the state of a job, while no other process or task does.
   *
   * @returns the new state.
   * @throws {@link OutputError} `OUTPUT_IO`, `OUTPUT_FULL`
   */
  async update(job: string, change: (state: JobState) => JobState): Promise<JobState> {
    await using lock = await this.#lockWrites(job);
    const before = await this.read(job);
    const after = change(before);
    if (after === before) return after;
    await lock.assertHeld();
    await this.write(after);
    return after;
  }

  /**
   * The right to run a job. One process at a time has it.
   *
   * @throws {@link RepositoryError} `JOB_RUNNING`
   */
  async lockJob(job: string): Promise<HeldRight> {
    return await this.#lock(this.#fileOf(job, 'run'), 'JOB_RUNNING', `job ${job} is running`);
  }

  /**
   * The right to be the daemon of this job file.
   *
   * @throws {@link RepositoryError} `DAEMON_RUNNING`
   */
  async lockDaemon(): Promise<HeldRight> {
    const folder = path.join(this.path, 'daemon');
    return await this.#lock(folder, 'DAEMON_RUNNING', 'a daemon of this job file is running');
  }

  #fileOf(job: string, name: string): string {
    return path.join(this.path, `job-${job}`, name);
  }

  async #lock(
    folder: string,
    code: 'JOB_RUNNING' | 'DAEMON_RUNNING',
    text: string,
  ): Promise<HeldRight> {
    const toOwn = (error: unknown): never => {
      if (!isLocked(error)) throw error;
      const { pid, host, since } = error.details;
      const who = pid === undefined ? 'an unknown process' : `pid ${pid} on ${host} since ${since}`;
      const { hint, details } = error;
      throw new RepositoryError(code, `${text}: ${who}`, { hint, details, cause: error });
    };
    const lock = await guarded(this.path, async () => {
      await makeFolder(folder);
      return await ChainLock.acquire(folder);
    }).catch(toOwn);
    return {
      lost: lock.lost,
      assertHeld: async () => {
        await lock.assertHeld().catch(toOwn);
      },
      [Symbol.asyncDispose]: async () => {
        await lock.release();
      },
    };
  }

  async #lockWrites(job: string): Promise<ChainLock> {
    const folder = this.#fileOf(job, 'write');
    const endMs = performance.now() + WRITE_WAIT_MS;
    return await guarded(this.path, async () => {
      await makeFolder(folder);
      for (;;) {
        try {
          return await ChainLock.acquire(folder);
        } catch (error) {
          if (!isLocked(error) || performance.now() > endMs) throw error;
        }
        await wait(WRITE_POLL_MS);
      }
    });
  }

  /** The old file is kept for whoever wants to know what was in it. */
  async #moveAside(job: string, file: string, cause: unknown): Promise<void> {
    const aside = `${file}.damaged-${Date.now()}`;
    await guarded(this.path, async () => {
      await rename(file, aside);
    });
    const reason = cause instanceof SyntaxError ? 'no JSON' : String(cause);
    this.#onMessage(sessionMessage('JOB-630', { job, reason, file: aside }));
  }
}

async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readText(file, MAX_STATE_BYTES);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
