/** The command `export` in a process of its own, as its users start it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

const COMMAND = path.resolve(import.meta.dirname, '../../../dist/cli/launch.cjs');

/** What the command says at its end. */
export interface ExportSummary {
  readonly exitCode: number | null;
  readonly requests: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly failures: number;
}

export class ExportServer {
  readonly uris: readonly string[];
  readonly #child: ChildProcess;
  readonly #stderr: () => string;

  private constructor(child: ChildProcess, uris: readonly string[], stderr: () => string) {
    this.#child = child;
    this.uris = uris;
    this.#stderr = stderr;
  }

  /** @param args - of the command, without its name and --json */
  static async start(args: readonly string[]): Promise<ExportServer> {
    const command = [COMMAND, 'export', '--json', ...args];
    const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const uris = await new Promise<readonly string[]>((resolve, reject) => {
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += text;
        if (stdout.endsWith('}\n')) resolve((JSON.parse(stdout) as { uris: string[] }).uris);
      });
      child.once('close', () => reject(new Error(`export: ${stderr}`)));
    });
    return new ExportServer(child, uris, () => stderr);
  }

  /** Address of the disk with this name. */
  uri(disk: string): string {
    const found = this.uris.find((uri) => uri.includes(`/${encodeURIComponent(disk)}?`));
    if (found === undefined) throw new Error(`no export ${disk} in ${this.uris.join(' ')}`);
    return found;
  }

  /** Ends the command with Ctrl-C, which is its regular end. */
  async stop(): Promise<ExportSummary> {
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGINT');
    const [exitCode] = (await closed) as [number | null];
    const summary = this.#stderr()
      .split('\n')
      .find((line) => line.startsWith('{"type":"export_summary"'));
    if (summary === undefined) throw new Error(`export: ${this.#stderr()}`);
    return { ...(JSON.parse(summary) as Omit<ExportSummary, 'exitCode'>), exitCode };
  }

  /** Ends a command that a failed test has left. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }
}
