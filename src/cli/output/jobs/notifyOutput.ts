/** Output of notify-test: each delivery, and what became of it. */
import type { OutputForm } from '../outputForm.ts';
import { type Column, formatRows } from '../table.ts';
import { printable } from '../text.ts';

export interface NotifyTestReport {
  readonly type: 'notify_test';
  readonly job: string;
  readonly deliveries: readonly DeliveryResult[];
}

export interface DeliveryResult {
  readonly receiver: string;
  readonly way: 'mail' | 'webhook' | 'command';
  /** Server or program. */
  readonly target: string;
  readonly isDelivered: boolean;
  /** Code of the message about a failure. */
  readonly code?: string;
}

const COLUMNS: readonly Column<DeliveryResult>[] = [
  ['receiver', ({ receiver }) => printable(receiver), { kind: 'name' }],
  ['way', ({ way }) => way],
  ['to', ({ target }) => printable(target)],
  [
    'result',
    ({ isDelivered, code }) => (isDelivered ? 'delivered' : `failed (${code ?? ''})`),
    { style: ({ isDelivered }) => (isDelivered ? 'green' : 'red') },
  ],
];

export function formatNotifyTest({ deliveries }: NotifyTestReport, form: OutputForm): string {
  return formatRows(COLUMNS, deliveries, form);
}
