/** Messages and errors as lines of stderr: for people, or as JSON objects. */
import { fstatSync } from 'node:fs';
import type { SessionMessage } from '../../core/messages.ts';
import { columnsOf, hasColours, paint, type Style } from './outputForm.ts';
import { fold, formatLocalTime, printable } from './text.ts';

export type LineLevel = SessionMessage['level'];

/** Colour of a level. Information has none. */
export const LEVEL_STYLES: Readonly<Record<LineLevel, Style | undefined>> = {
  info: undefined,
  warn: 'yellow',
  error: 'red',
};

/** One line. Control characters in names are replaced, because they must not reach a terminal. */
export function formatMessage(message: SessionMessage): string {
  const advice = message.resolution === 'None.' ? '' : ` ${message.resolution}`;
  return printable(`${message.level}: ${message.code} ${message.text}${advice}`);
}

const CONTINUATION_COLUMNS = 2;

type Stream = Pick<NodeJS.WriteStream, 'isTTY' | 'columns'>;

/** Folds each line of a text to the width of the terminal, between words. */
function folded(text: string, stream: Stream): string {
  const columns = columnsOf(stream);
  const lines = text.split('\n').map((line) => fold(line, columns, CONTINUATION_COLUMNS));
  return lines.join('\n');
}

/** An error with its hint. A terminal has the hint on a line of its own. */
export function formatError(
  text: string,
  hint: string,
  stream: Pick<Stream, 'isTTY'> = process.stderr,
): string {
  return `error: ${text}${stream.isTTY ? '\n  ' : ' '}hint: ${hint}`;
}

/** Priorities of syslog. */
const PRIORITIES: Readonly<Record<LineLevel, number>> = { error: 3, warn: 4, info: 6 };
const STDERR = 2;

let known: boolean | undefined;

/**
 * True when `place`, the value of JOURNAL_STREAM, is this file. Programs that a unit starts inherit
 * the variable, also those whose stderr goes elsewhere.
 */
export function isJournalStream(place: string | undefined, fd: number): boolean {
  if (!place) return false;
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return place === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/** True when stderr of this process goes to the journal. */
function isJournal(): boolean {
  known ??= isJournalStream(process.env['JOURNAL_STREAM'], STDERR);
  return known;
}

/** Each line is an entry of the journal, so each gets the priority. */
export function withPriority(text: string, level: LineLevel): string {
  return text.replaceAll(/^/gm, `<${PRIORITIES[level]}>`);
}

/**
 * A line for stderr. Without a terminal it begins with the local time, because it may be read in a
 * log later. A terminal gets the level in its colour, and the text folded to its width. The journal
 * of systemd knows the time itself, and gets the level as its priority.
 *
 * @param text - it begins with `warn: ` or `error: ` when `level` is given.
 */
export function formatStderrLine(
  text: string,
  level: LineLevel = 'info',
  stream: Stream = process.stderr,
): string {
  if (!stream.isTTY && isJournal()) return withPriority(text, level);
  const shown = stream.isTTY ? folded(text, stream) : text;
  const time = stream.isTTY ? '' : `${formatLocalTime(new Date().toISOString())} `;
  const label = `${level}:`;
  if (!shown.startsWith(label)) return `${time}${shown}`;
  const painted = paint(label, LEVEL_STYLES[level], hasColours(stream, process.env));
  return `${time}${painted}${shown.slice(label.length)}`;
}

/** An object for stderr, with its time in UTC. */
export function formatStderrJson(type: string, fields: object): string {
  return JSON.stringify({ type, time: new Date().toISOString(), ...fields });
}
