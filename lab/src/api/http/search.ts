/**
 * The search of list calls: `field=value` conditions joined by `and` and `or`, with wildcards,
 * `sortby` and `page`. `and` binds stronger, as the engine's SQL has it.
 * Source: oVirt contract: case is ignored by default. `max` limits the rows, and `page N` counts
 * pages of `max` rows.
 */
import { EngineFault } from '../../state/refusals.ts';
import type { EngineCall } from './router.ts';

/**
 * Values of a row by the names of its search fields; a field may have several. An unknown field is
 * answered with 400.
 */
export type SearchFields = Readonly<Record<string, string | readonly string[] | undefined>>;

interface Condition {
  readonly field: string;
  readonly isNegated: boolean;
  readonly pattern: RegExp;
}

interface Query {
  /** One of the lists must be met, with all of its conditions. */
  readonly alternatives: readonly (readonly Condition[])[];
  readonly page: number;
}

function toPattern(value: string, isCaseSensitive: boolean): RegExp {
  const escaped = value.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`).replaceAll('*', '.*');
  return new RegExp(`^${escaped}$`, isCaseSensitive ? 's' : 'is');
}

function badSearch(text: string): EngineFault {
  return new EngineFault(400, 'Operation Failed', `[Invalid search: ${text}]`);
}

function parseCondition(text: string, isCaseSensitive: boolean): Condition {
  const match = /^(\w+)\s*(!=|=)\s*("([^"]*)"|\S+)$/.exec(text.trim());
  if (!match?.[1] || !match[3]) {
    // A single word is searched for in the name.
    if (!/^[\w*.-]+$/.test(text.trim())) throw badSearch(text);
    return {
      field: 'name',
      isNegated: false,
      pattern: toPattern(`*${text.trim()}*`, isCaseSensitive),
    };
  }
  return {
    field: match[1].toLowerCase(),
    isNegated: match[2] === '!=',
    pattern: toPattern(match[4] ?? match[3], isCaseSensitive),
  };
}

function parseQuery(search: string, isCaseSensitive: boolean): Query {
  const page = /\bpage\s+(\d+)\s*$/i.exec(search);
  const text = search
    .replace(/\bpage\s+\d+\s*$/i, '')
    .replace(/\bsortby\s+\w+(\s+(asc|desc))?\s*$/i, '')
    .replace(/^\s*\w+\s*:/, '')
    .trim();
  const parts = text === '' ? [] : text.split(/\s+or\s+/i);
  return {
    alternatives: parts.map((part) =>
      part.split(/\s+and\s+/i).map((condition) => parseCondition(condition, isCaseSensitive)),
    ),
    page: Number(page?.[1] ?? 1),
  };
}

function isMet(condition: Condition, fields: SearchFields): boolean {
  if (!(condition.field in fields)) throw badSearch(`unknown field ${condition.field}`);
  const values = [fields[condition.field] ?? ''].flat();
  return values.some((value) => condition.pattern.test(value)) !== condition.isNegated;
}

function maxOf(call: EngineCall): number {
  const text = call.query.get('max');
  if (text === null || text === '') return Number.POSITIVE_INFINITY;
  const max = Number(text);
  if (!Number.isInteger(max)) throw new EngineFault(400, 'Invalid value', `max=${text}`);
  return max < 0 ? Number.POSITIVE_INFINITY : max;
}

/** The rows that a list call asks for. @throws EngineFault 400 */
export function searchRows<Row>(
  call: EngineCall,
  rows: Iterable<Row>,
  fieldsOf: (row: Row) => SearchFields,
): Row[] {
  const max = maxOf(call);
  const query = parseQuery(call.query.get('search') ?? '', call.flag('case_sensitive', false));
  const found = [...rows].filter((row) => {
    const fields = fieldsOf(row);
    const { alternatives } = query;
    const isAny = alternatives.map((all) => all.every((condition) => isMet(condition, fields)));
    return alternatives.length === 0 || isAny.includes(true);
  });
  const first = Number.isFinite(max) ? (query.page - 1) * max : 0;
  return found.slice(first, first + max);
}
