/** Work in a child process that can be killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rootFolder } from '../helpers/folders.ts';

/** The command that `test/helpers/faults/vmProcess.mjs` reads. */
export interface ChildWork {
  readonly action: 'backupVms' | 'pruneRepository' | 'synthesizeFull';
  readonly options: object;
  /** Threads move the data of images from so many bytes on. */
  readonly threadedFromBytes?: number | undefined;
}

export interface Child {
  readonly process: ChildProcess;
  readonly closed: Promise<unknown>;
}

export function startChild(work: ChildWork, env: NodeJS.ProcessEnv = {}): Child {
  const script = `${rootFolder()}/test/helpers/faults/vmProcess.mjs`;
  const child = spawn(process.execPath, [script], {
    stdio: ['pipe', 'ignore', 'inherit'],
    env: { ...process.env, ...env },
  });
  const closed = once(child, 'close');
  child.stdin.end(JSON.stringify(work));
  return { process: child, closed };
}

/** Like {@link startChild}. The process kills itself at file operation `nth` below `folder`. */
export function startSelfKill(work: ChildWork, folder: string, nth: number): Child {
  const preload = `${rootFolder()}/test/helpers/faults/selfKill.mjs`;
  return startChild(work, {
    NODE_OPTIONS: `--import ${preload}`,
    KILL_ROOT: folder,
    KILL_AT: String(nth),
  });
}
