/** Text of systemd units: sections, and values that systemd reads as they are meant. */

/** `Key=value` lines of a section. A list gives a line for each entry; undefined gives none. */
export type Entries = readonly (readonly [
  key: string,
  value: string | readonly string[] | undefined,
])[];

/** Keeps systemd from reading `%` as the start of a specifier. */
export function plain(text: string): string {
  return text.replaceAll('%', '%%');
}

/** One item of a list of paths or words. */
export function quoted(text: string): string {
  const escaped = plain(text).replaceAll(/["\\]/g, String.raw`\$&`);
  return /^[\w@%+=:,./-]+$/.test(escaped) ? escaped : `"${escaped}"`;
}

/** One argument of a command line, where `$` names variables too. */
export function argument(text: string): string {
  return quoted(text.replaceAll('$', '$$$$'));
}

export function sectionText(name: string, entries: Entries): string {
  const lines = entries.flatMap(([key, value]) => {
    const values = value === undefined ? [] : typeof value === 'string' ? [value] : value;
    return values.map((one) => `${key}=${one}`);
  });
  return [`[${name}]`, ...lines, ''].join('\n');
}
