/** A pseudo-terminal in tmux: the screen as a person sees it. */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { onTestFinished } from 'vitest';

const ENTRY = path.resolve(import.meta.dirname, '../../../dist/cli/launch.cjs');
const POLL_MS = 20;
const ROWS = '50';

/** Lines with the continuation lines of folded messages joined. */
export function unfolded(lines: readonly string[]): string[] {
  const joined: string[] = [];
  for (const line of lines) {
    const last = joined.at(-1) ?? '';
    const isContinued = /^ {2}\S/.test(line) && /^(?:info|warn|error): /.test(last);
    if (isContinued) joined[joined.length - 1] = `${last} ${line.trim()}`;
    else joined.push(line);
  }
  return joined;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

export interface Terminal {
  /** Lines of the screen without trailing spaces. Lines that the terminal wrapped are joined. */
  lines(): string[];
  /** The screen with its escape sequences for colours. */
  styledText(): string;
  /** Types keys, by the names of tmux: `C-c`, `Enter`. */
  type(...keys: readonly string[]): void;
  /** What programs can change for those that come after them. */
  settings(): { readonly isWrapOn: boolean; readonly isCursorOn: boolean };
  /** Closes the terminal, as a dropped connection does. */
  close(): void;
  /** Process id of the command. */
  pid(): number;
  /** Waits until a line of the screen matches. */
  shows(pattern: RegExp): Promise<void>;
  /** Waits for the end of the command. @returns its exit code. */
  ended(): Promise<number>;
}

/**
 * Starts the compiled command line in a terminal of its own. `folder` gets its script. A shell
 * prints the exit code at the end, and the terminal stays open.
 */
export function startInTerminal(
  folder: string,
  columns: number,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Terminal {
  const socket = `ovirt-cbt-${randomUUID()}`;
  const tmux = (...words: readonly string[]): string =>
    execFileSync('tmux', ['-L', socket, '-f', '/dev/null', ...words], { encoding: 'utf8' });
  const script = path.join(folder, `terminal-${socket}.sh`);
  const command = [process.execPath, ENTRY, ...args].map(quoted).join(' ');
  const settings = Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}`);
  // The shell lives on after Ctrl-C.
  const lines = [...settings, 'trap : INT', `sh -c 'echo "pid $$"; exec "$0" "$@"' ${command}`];
  writeFileSync(script, [...lines, 'echo "exit $?"', 'exec sleep 1000', ''].join('\n'));
  tmux('new-session', '-d', '-x', String(columns), '-y', ROWS, 'sh', script);

  const close = (): void => void tmux('kill-server');
  let isOpen = true;
  onTestFinished(() => {
    if (isOpen) close();
  });
  const read = (): string[] =>
    tmux('capture-pane', '-p', '-J')
      .split('\n')
      .map((l) => l.trimEnd());
  const find = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const found = read().map((line) => pattern.exec(line));
      const first = found.find((match) => match !== null);
      if (first) return first;
      await wait(POLL_MS);
    }
  };
  return {
    lines: read,
    styledText: () => tmux('capture-pane', '-p', '-e'),
    type: (...keys) => void tmux('send-keys', ...keys),
    settings: () => {
      const flags = tmux('display-message', '-p', '#{wrap_flag} #{cursor_flag}').trim();
      const [wrap, cursor] = flags.split(' ');
      return { isWrapOn: wrap === '1', isCursorOn: cursor === '1' };
    },
    close: () => {
      isOpen = false;
      close();
    },
    pid: () => {
      const [line] = read().filter((text) => text.startsWith('pid '));
      return Number(line?.slice('pid '.length));
    },
    shows: async (pattern) => void (await find(pattern)),
    ended: async () => Number((await find(/^exit (\d+)$/))[1]),
  };
}
