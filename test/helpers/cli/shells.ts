/** Interactive shells that complete command lines, as somebody who types sees them. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { onTestFinished } from 'vitest';

export type ShellName = 'bash' | 'zsh';

/** Completes as far as there is one answer. */
export const TAB = '\t';
/** Inserts all answers. */
export const ALL = '\u000F';
/** Writes the line down, then clears it. */
const NOTE = '\u0014\u0015';

export function isInstalled(program: string): boolean {
  return spawnSync(program, ['--version']).error === undefined;
}

const PROMPT = 'PROMPT>';

const SETUPS: Readonly<Record<ShellName, (folder: string) => string>> = {
  bash: (folder) => `
PS1='${PROMPT} '
bind 'set bell-style none'
bind '"\\C-o": insert-completions'
bind -x '"\\C-t": printf "%s\\n" "$READLINE_LINE" >>${folder}/lines'
source ${folder}/_ovirt-cbt
`,
  zsh: (folder) => `
PS1='${PROMPT} '
bindkey -e
unsetopt beep
fpath=(${folder} $fpath)
autoload -U compinit
compinit -u -d ${folder}/dump
note() { print -r -- "$BUFFER" >>${folder}/lines }
zle -N note
bindkey '^T' note
zle -C all-matches complete-word _generic
zstyle ':completion:all-matches:*' completer _all_matches _complete
zstyle ':completion:all-matches:*' old-matches no
zstyle ':completion:all-matches:*' insert yes
bindkey '^O' all-matches
`,
};

const SETUP_FILES: Readonly<Record<ShellName, string>> = { bash: 'bashrc', zsh: '.zshrc' };
const COMMANDS: Readonly<Record<ShellName, string>> = {
  bash: 'bash --noprofile --rcfile shell/bashrc -i',
  zsh: 'zsh -i',
};

/** Reads a stream, and waits until it has said `text`, or has ended. The rest is dropped. */
async function seen(stream: Readable, text: string): Promise<void> {
  let said = '';
  await new Promise<void>((resolve) => {
    stream.setEncoding('utf8').once('close', resolve);
    stream.on('data', (piece: string) => {
      said += piece;
      if (said.includes(text)) resolve();
    });
  });
}

/**
 * Types each of `lines` into a shell that has loaded `script`, with {@link TAB} and {@link ALL}.
 *
 * @param folder - the shell works there. It gets a folder `shell` with the files of the shell.
 * @returns what each line has become, without blanks at its end.
 */
export async function typeInto(
  shell: ShellName,
  folder: string,
  script: string,
  lines: readonly string[],
): Promise<string[]> {
  const own = path.join(folder, 'shell');
  mkdirSync(own);
  writeFileSync(path.join(own, '_ovirt-cbt'), script);
  writeFileSync(path.join(own, SETUP_FILES[shell]), SETUPS[shell](own));
  const env = { PATH: process.env['PATH'], HOME: folder, ZDOTDIR: own, TERM: 'dumb' };
  // Zsh edits lines only on a terminal, which `script` gives it.
  const args = ['-qec', COMMANDS[shell], '/dev/null'];
  const child = spawn('script', args, { cwd: folder, env, stdio: ['pipe', 'pipe', 'ignore'] });
  onTestFinished(() => void child.kill());
  const ended = once(child, 'close');
  await seen(child.stdout, PROMPT);
  child.stdin.write(`${lines.map((line) => `${line}${NOTE}`).join('')}exit\n`);
  await ended;
  const noted = path.join(own, 'lines');
  if (!existsSync(noted)) return [];
  return readFileSync(noted, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.trimEnd());
}
