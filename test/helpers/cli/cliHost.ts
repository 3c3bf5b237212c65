/** A process that runs one command of the compiled command line after the other; see cliHost.mjs. */
import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import type { CliResult } from './cli.ts';

const SCRIPT = 'test/helpers/cli/cliHost.mjs';
/** As launch.cts sets it. */
const THREADS = '16';

/** Text of a stream up to `mark`, or up to its end. */
async function textUntil(stream: Readable, mark: string): Promise<string> {
  let text = '';
  return await new Promise((resolve) => {
    const settle = (): void => {
      stream.off('data', onData).off('close', settle);
      resolve(text.endsWith(mark) ? text.slice(0, -mark.length) : text);
    };
    const onData = (more: string): void => {
      text += more;
      if (text.endsWith(mark)) settle();
    };
    stream.on('data', onData).once('close', settle);
  });
}

class CliHost {
  readonly #child: ChildProcess;
  readonly #outputs: readonly [Readable, Readable];
  isBusy = true;

  constructor() {
    this.#child = fork(SCRIPT, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, UV_THREADPOOL_SIZE: THREADS },
    });
    const { stdout, stderr } = this.#child;
    if (!stdout || !stderr) throw new Error('the host has no outputs');
    this.#outputs = [stdout.setEncoding('utf8'), stderr.setEncoding('utf8')];
  }

  async started(): Promise<this> {
    const died = once(this.#child, 'close').then(() => {
      throw new Error('the host of commands did not start');
    });
    // Also when the process ends long after its start.
    died.catch(() => {});
    await Promise.race([once(this.#child, 'message'), died]);
    return this;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** A command that ends the process, or that it does not survive, has the exit code of the process. */
  async run(args: readonly string[], env: NodeJS.ProcessEnv): Promise<CliResult> {
    this.isBusy = true;
    const mark = `\n${randomUUID()}\n`;
    const child = this.#child;
    const exitCode = new Promise<number | null>((resolve) => {
      const settle = (code: number | null): void => {
        child.off('message', onMessage).off('close', settle);
        resolve(code);
      };
      const onMessage = (message: unknown): void =>
        settle((message as { readonly exitCode: number }).exitCode);
      child.once('message', onMessage).once('close', settle);
    });
    child.send({ args, env, mark });
    const [stdout, stderr] = await Promise.all(
      this.#outputs.map(async (output) => await textUntil(output, mark)),
    );
    const code = await exitCode;
    this.isBusy = false;
    return { exitCode: code, signal: child.signalCode, stdout: stdout ?? '', stderr: stderr ?? '' };
  }
}

let hosts: CliHost[] = [];

/** Runs a command in a process of its own or in one that ran others before. */
export async function runInHost(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<CliResult> {
  hosts = hosts.filter((host) => !host.hasEnded);
  const idle = hosts.find((host) => !host.isBusy);
  if (idle) return await idle.run(args, env);
  const host = new CliHost();
  hosts.push(host);
  return await (await host.started()).run(args, env);
}
