/** Calls functions of a module of the suite in a separate process. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './suite.ts';

export interface ChildCall {
  readonly name: string;
  readonly argument: unknown;
}

export interface ChildAnswer {
  readonly value: unknown;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
  readonly loopDelayMs: number;
}

const ENTRY = fileURLToPath(new URL('./child.js', import.meta.url));
const THREAD_PROBE = fileURLToPath(new URL('./threadProbe.cjs', import.meta.url));

/** The option must be in the environment: worker threads take no other options of the process. */
function probed(namesFile: string): NodeJS.ProcessEnv {
  const options = `${process.env['NODE_OPTIONS'] ?? ''} --require=${THREAD_PROBE}`;
  return { ...process.env, NODE_OPTIONS: options, BENCH_THREADS: namesFile };
}

export class BenchChild {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /**
   * @param module - compiled file of this folder that exports the functions
   * @param namesFile - gets the names of the threads, see threadProbe
   */
  static async start(module: string, namesFile?: string): Promise<BenchChild> {
    const env = namesFile === undefined ? process.env : probed(namesFile);
    const args = [new URL(module, import.meta.url).href];
    const child = fork(ENTRY, args, { serialization: 'json', env });
    await once(child, 'message');
    return new BenchChild(child);
  }

  async call(name: string, argument: unknown): Promise<ChildAnswer> {
    // Removes the listeners of the event that did not happen.
    const over = new AbortController();
    const events = { signal: over.signal };
    const ended = once(this.#child, 'exit', events).then(([code]) => {
      throw new Error(`${name}: the child ended with exit code ${String(code)}`);
    });
    const answered = once(this.#child, 'message', events) as Promise<
      [ChildAnswer | { error: string }]
    >;
    this.#child.send({ name, argument } satisfies ChildCall);
    try {
      const [answer] = await Promise.race([answered, ended]);
      if ('error' in answer) throw new Error(answer.error);
      return answer;
    } finally {
      over.abort();
      await Promise.allSettled([answered, ended]);
    }
  }

  /** Calls a function as a case. It returns the checksum, and `seconds` when only a part counts. */
  async run(name: string, argument: unknown): Promise<Outcome> {
    const { value, ...usage } = await this.call(name, argument);
    return { ...usage, ...(value as { checksum: string; seconds?: number }) };
  }

  close(): void {
    this.#child.disconnect();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Calls one function in a new process, so that the peak memory is that of the call. */
export async function callOnce(
  module: string,
  name: string,
  argument: unknown,
  namesFile?: string,
): Promise<ChildAnswer> {
  const child = await BenchChild.start(module, namesFile);
  try {
    return await child.call(name, argument);
  } finally {
    child.close();
  }
}
