/** The text form of Prometheus: families of samples, escaped and without duplicates. */

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

export interface MetricFamily {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly samples: readonly Sample[];
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' };

/** The text must be UTF-8, so a half of a surrogate pair becomes the replacement character. */
function escapeLabel(value: string): string {
  return Buffer.from(value, 'utf8')
    .toString('utf8')
    .replaceAll(/[\\"\n]/g, (character) => ESCAPES[character] ?? character);
}

function series(name: string, labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
}

/**
 * Text of the families, with a line end at the end. A family without samples is left out. Of two
 * samples of the same series the last one counts: readers refuse a file that holds both.
 */
export function metricText(families: readonly MetricFamily[]): string {
  return families.map(familyText).join('');
}

function familyText({ name, type, help, samples }: MetricFamily): string {
  const values = new Map<string, number>();
  for (const { labels, value } of samples) {
    if (Number.isFinite(value)) values.set(series(name, labels), value);
  }
  if (values.size === 0) return '';
  const lines = [...values].map(([key, value]) => `${key} ${value}`);
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ''].join('\n');
}
