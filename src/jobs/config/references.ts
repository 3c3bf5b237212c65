/** Names in a job file: those that it gives, and those that must be defined elsewhere in it. */
import { didYouMean } from '../../core/nearestNames.ts';
import type { KeyPath } from './positions.ts';
import type { Finding } from './problems.ts';

type Group = Readonly<Record<string, unknown>>;

interface Reference {
  readonly path: KeyPath;
  readonly name: unknown;
  /** Key at the top of the file that defines the names. */
  readonly section: 'engines' | 'repositories' | 'notify';
}

function groupOf(value: unknown): Group {
  return typeof value === 'object' && value !== null ? (value as Group) : {};
}

function referencesOf(jobName: string, job: Group): Reference[] {
  const path = ['jobs', jobName];
  const { notify } = job;
  const receivers: Reference[] = Array.isArray(notify)
    ? notify.map((name, index) => ({ path: [...path, 'notify', index], name, section: 'notify' }))
    : [{ path: [...path, 'notify'], name: notify, section: 'notify' }];
  return [
    { path: [...path, 'engine'], name: job['engine'], section: 'engines' },
    { path: [...path, 'repository'], name: job['repository'], section: 'repositories' },
    { path: [...path, 'copyTo'], name: job['copyTo'], section: 'repositories' },
    ...receivers,
  ];
}

function findingOf({ path, name, section }: Reference, file: Group): Finding[] {
  // Other kinds of values are problems that the schema tells.
  if (typeof name !== 'string' || name.trim() === '') return [];
  const known = Object.keys(groupOf(file[section]));
  if (known.includes(name)) return [];
  const list = known.length === 0 ? '' : `; it has ${known.join(', ')}`;
  const advice = `${didYouMean(name, known)}define it in "${section}"${list}`;
  return [{ path, what: `${JSON.stringify(name)} is not in "${section}"`, advice }];
}

/** Unknown names. */
function unknownReferences(raw: unknown): Finding[] {
  const file = groupOf(raw);
  return Object.entries(groupOf(file['jobs']))
    .flatMap(([name, job]) => referencesOf(name, groupOf(job)))
    .flatMap((reference) => findingOf(reference, file));
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** Names that no engine, repository, job or receiver can have. */
function badNames(raw: unknown): Finding[] {
  const file = groupOf(raw);
  const advice = 'use letters, digits, "_", "." and "-", at most 64, a letter or digit first';
  return ['engines', 'repositories', 'jobs', 'notify'].flatMap((section) =>
    Object.keys(groupOf(file[section]))
      .filter((name) => !Array.isArray(file[section]) && !NAME.test(name))
      .map((name) => ({ path: [section, name], isKey: true, what: 'is no usable name', advice })),
  );
}

/** Problems of names. They are looked for in the raw values, so that other problems hide none. */
export function nameFindings(raw: unknown): Finding[] {
  return [...badNames(raw), ...unknownReferences(raw)];
}
