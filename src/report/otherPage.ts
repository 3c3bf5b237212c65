/** The page of a session that is no backup: a restore, a verify, a prune, a copy. */
import type { OtherRecord } from '../sessions/history/sessionRecord.ts';
import { page } from './page/frame.ts';
import { html } from './page/html.ts';
import { type Fact, factList, header, id, section, time } from './page/parts.ts';
import { bytesText, OUTCOME_WORDS, secondsText } from './words.ts';

/** `readBytes` becomes `Read`, `damageCount` becomes `Damage count`. */
function labelOf(field: string): string {
  const words = field
    .replace(/(Bytes|Seconds)$/, '')
    .replaceAll(/[A-Z]/g, (c) => ` ${c.toLowerCase()}`);
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
}

function textOf(field: string, value: string | number | boolean): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'string') return value;
  if (field.endsWith('Bytes')) return bytesText(value);
  return field.endsWith('Seconds') ? secondsText(value) : String(value);
}

/** All plain fields of a report, and how long its lists are. */
function factsOf(report: Readonly<Record<string, unknown>>): Fact[] {
  return Object.entries(report).flatMap(([field, value]): Fact[] => {
    if (field === 'type' || field === 'vmName') return [];
    if (Array.isArray(value)) return [[labelOf(field), String(value.length)]];
    const isPlain = ['string', 'number', 'boolean'].includes(typeof value);
    return isPlain ? [[labelOf(field), textOf(field, value as string | number | boolean)]] : [];
  });
}

export function otherPage(record: OtherRecord, madeAt: Date): string {
  const { vmName, type, sessionId, vmId, startedAt, durationSeconds, report } = record;
  const lead = `It took ${secondsText(durationSeconds)}. There is nothing to do.`;
  const evidence = factList([
    ['Session', id(sessionId)],
    ['VM', id(vmId)],
    ['Started', time(startedAt)],
  ]);
  const body = html`${header({ ...record, outcome: 'success', lead })}${section('Result', factList(factsOf(report)))}${section('Evidence', evidence, 'Names and ids, to find this session elsewhere.')}`;
  return page(`${vmName}, ${type}: ${OUTCOME_WORDS.success}`, body, madeAt);
}
