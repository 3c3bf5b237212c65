/**
 * The hour that clocks skip in spring. In some zones it ends at midnight, so a time in it belongs
 * to a day that is over when the clocks have jumped.
 */
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      calendar: 'iso8601',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(zone, format);
  }
  return format;
}

/** What clocks in `zone` show, as milliseconds of the same date and time in UTC. */
export function wallMsAt(instantMs: number, zone: string): number {
  const parts = formatOf(zone).formatToParts(instantMs);
  const part = (type: Intl.DateTimeFormatPartTypes): number =>
    Number(parts.find((one) => one.type === type)?.value);
  const seconds = Date.UTC(
    part('year'),
    part('month') - 1,
    part('day'),
    part('hour'),
    part('minute'),
    part('second'),
  );
  return seconds + (instantMs - Math.floor(instantMs / 1000) * 1000);
}

function offsetMsAt(instantMs: number, zone: string): number {
  return wallMsAt(instantMs, zone) - instantMs;
}

/**
 * The instant at which clocks jump over the time `wallMs`.
 *
 * @param wallMs - date and time of a clock, as if it were UTC.
 * @returns undefined when clocks show this time.
 */
export function jumpOver(wallMs: number, zone: string): number | undefined {
  const before = offsetMsAt(wallMs - DAY_MS, zone);
  const after = offsetMsAt(wallMs + DAY_MS, zone);
  let early = wallMs - after;
  let late = wallMs - before;
  const isSkipped = offsetMsAt(early, zone) === before && offsetMsAt(late, zone) === after;
  if (after <= before || !isSkipped) return undefined;
  while (late - early > MINUTE_MS) {
    const middle = early + Math.ceil((late - early) / 2 / MINUTE_MS) * MINUTE_MS;
    if (middle >= late) break;
    if (offsetMsAt(middle, zone) === after) late = middle;
    else early = middle;
  }
  return late;
}
