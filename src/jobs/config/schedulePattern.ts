/** Checks the schedule of a job: a cron pattern of five fields, and its time zone. */
import { Cron } from 'croner';
import { nearestNames } from '../../core/nearestNames.ts';
import { BadValue } from './values.ts';

/** Numbers, names of three letters, ranges and steps. The parser alone knows more: L, W, #. */
const ITEM = /^(?:\*|(?:\d+|[a-z]{3})(?:-(?:\d+|[a-z]{3}))?)(?:\/\d+)?$/i;
const FIELDS = 'minute, hour, day of month, month and day of week';
const EXAMPLE = `write five fields (${FIELDS}): '0 1 * * *' is each night at one`;

/** Longer ones repeat themselves. States of jobs hold the pattern. */
const MOST_CHARS = 500;

/** Checks the form of a pattern, and that it comes at some time. */
export function parseSchedule(pattern: string): string {
  const fields = pattern.trim().split(/\s+/);
  if (pattern.startsWith('@')) throw new BadValue(`"${pattern}" is a short name`, EXAMPLE);
  if (fields.length !== 5) {
    throw new BadValue(`"${pattern}" has ${fields.length} fields instead of 5`, EXAMPLE);
  }
  const odd = fields.find((field) => !field.split(',').every((item) => ITEM.test(item)));
  if (odd !== undefined) {
    throw new BadValue(
      `"${odd}" in "${pattern}" is not understood`,
      'use numbers, names such as mon and jan, and the signs * , - /',
    );
  }
  const normal = fields.join(' ');
  if (normal.length > MOST_CHARS) {
    throw new BadValue(`is longer than ${MOST_CHARS} characters`, 'use ranges (1-5) and steps');
  }
  checkFires(normal);
  return normal;
}

function checkFires(pattern: string): void {
  let first: Date | null;
  try {
    first = new Cron(pattern, { mode: '5-part', timezone: 'UTC' }).nextRun();
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^CronPattern: /, '') : '';
    throw new BadValue(`"${pattern}" is no cron pattern: ${reason}`, EXAMPLE);
  }
  if (first !== null) return;
  throw new BadValue(
    `"${pattern}" never comes: no month that it names has such a day`,
    'name a day that the months have',
  );
}

function isTimeZone(name: string): boolean {
  // Newer Node takes offsets such as +02:00 too. They know no summer time, and systemd no offsets.
  if (!/^[a-z]/i.test(name)) return false;
  try {
    return Boolean(new Intl.DateTimeFormat('en', { timeZone: name }));
  } catch {
    return false;
  }
}

export function parseTimeZone(name: string): string {
  if (!isTimeZone(name)) {
    const [near = 'Europe/Berlin'] = nearestNames(name, Intl.supportedValuesOf('timeZone'));
    throw new BadValue(
      `"${name}" is no time zone of the IANA database`,
      `write a name such as ${near} or UTC`,
    );
  }
  const names = [...Intl.supportedValuesOf('timeZone'), 'UTC'];
  // Case does not count here, but it does for systemd.
  const known = names.find((one) => one.toLowerCase() === name.toLowerCase());
  // An older name, such as US/Eastern.
  return known ?? new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone;
}
