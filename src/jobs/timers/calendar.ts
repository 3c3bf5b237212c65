/** Cron patterns as calendar events of systemd timers. */
import { CronPattern } from 'croner';

const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/** The days of an event. One of the two is always open: systemd joins both by "and". */
type Day = readonly [weekdays: string, days: string];

/** Numbers that a field of a pattern gives. `first` is the number of its first place. */
function numbersOf(field: readonly number[], first = 0): number[] {
  return field.flatMap((isSet, index) => (isSet ? [index + first] : []));
}

/** `*` for all of a field, else its numbers: `00,15,30,45`. */
function listOf(field: readonly number[], first = 0): string {
  const numbers = numbersOf(field, first);
  if (numbers.length === field.length) return '*';
  return numbers.map((number) => String(number).padStart(2, '0')).join(',');
}

/**
 * The calendar events that together give the times of a schedule, as lines for `OnCalendar`. Cron
 * joins a day of month and a day of week by "or", systemd by "and". So a pattern with both gives
 * two events.
 *
 * @param schedule - cron pattern of five fields, checked.
 * @param timezone - name in the IANA database; undefined for the zone of the machine.
 */
export function calendarEvents(schedule: string, timezone: string | undefined): string[] {
  const pattern = new CronPattern(schedule, 'UTC', { mode: '5-part' });
  const time = `${listOf(pattern.hour)}:${listOf(pattern.minute)}:00`;
  const months = listOf(pattern.month, 1);
  const weekdays = numbersOf(pattern.dayOfWeek).map((day) => WEEKDAYS[day]);
  const byWeekday: Day = [weekdays.length === WEEKDAYS.length ? '' : weekdays.join(','), '*'];
  const byDay: Day = ['', listOf(pattern.day, 1)];
  const days = [...(pattern.starDOM ? [] : [byDay]), ...(pattern.starDOW ? [] : [byWeekday])];
  const all: readonly Day[] = days.length === 0 ? [['', '*']] : days;
  return all.map(([week, day]) =>
    [week, `*-${months}-${day}`, time, timezone ?? ''].filter((part) => part !== '').join(' '),
  );
}
