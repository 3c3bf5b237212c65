/** Output of the command key. */
import type { KeySlotReport, KeysReport } from '../../sessions/keys/repositoryKeys.ts';
import { FULL_FORM, isFull, type OutputForm } from './outputForm.ts';
import { type Column, formatTables } from './table.ts';
import { formatLocalTime } from './text.ts';

type ListedKey = KeysReport['keys'][number] & { readonly isNewest: boolean };

function keyColumns(isLong: boolean): Column<ListedKey>[] {
  return [
    ['key', (key) => key.id],
    ['created', (key) => formatLocalTime(key.createdAt, isLong)],
    ['note', (key) => (key.isNewest ? 'seals new files' : '')],
  ];
}

function recoveryOf({ recoveryFile, isRecoveryFileMissing }: KeySlotReport): string {
  if (recoveryFile === undefined) return '';
  return isRecoveryFileMissing ? `${recoveryFile} is missing` : recoveryFile;
}

function slotColumns(isLong: boolean): Column<KeySlotReport>[] {
  return [
    ['slot', (slot) => slot.id],
    ['type', (slot) => slot.type],
    ['created', (slot) => formatLocalTime(slot.createdAt, isLong)],
    ['recipient', (slot) => slot.recipient ?? '', { kind: 'name' }],
    ['recovery file', recoveryOf, { kind: 'note' }],
  ];
}

export function formatKeys({ keys, slots }: KeysReport, form: OutputForm = FULL_FORM): string {
  const isLong = isFull(form);
  const listed = keys.map((key, k) => ({ ...key, isNewest: k === keys.length - 1 }));
  const tables = [
    ...formatTables(keyColumns(isLong), [listed], form),
    ...formatTables(slotColumns(isLong), [slots], form),
  ];
  return tables.join('\n\n');
}
