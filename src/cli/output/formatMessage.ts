/** Messages and errors as lines of stderr: for people, or as JSON objects. */
import type { SessionMessage } from '../../core/messages.ts';
import { hasColours, paint, type Style } from './outputForm.ts';
import { formatLocalTime, printable } from './text.ts';

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

/**
 * A line for stderr. Without a terminal it begins with the local time, because it may be read in a
 * log later. A terminal gets the level in its colour.
 *
 * @param text - it begins with `warn: ` or `error: ` when `level` is given.
 */
export function formatStderrLine(
  text: string,
  level: LineLevel = 'info',
  stream: Pick<NodeJS.WriteStream, 'isTTY'> = process.stderr,
): string {
  const time = stream.isTTY ? '' : `${formatLocalTime(new Date().toISOString())} `;
  const label = `${level}:`;
  if (!text.startsWith(label)) return `${time}${text}`;
  const painted = paint(label, LEVEL_STYLES[level], hasColours(stream, process.env));
  return `${time}${painted}${text.slice(label.length)}`;
}

/** An object for stderr, with its time in UTC. */
export function formatStderrJson(type: string, fields: object): string {
  return JSON.stringify({ type, time: new Date().toISOString(), ...fields });
}
