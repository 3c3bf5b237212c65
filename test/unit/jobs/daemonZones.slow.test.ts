/** The daemon over changes of clocks in many zones, and over long sequences of stops. */
import { describe, it } from 'vitest';
import {
  expectEachSlotOnce,
  expectFortnight,
  type Fortnight,
} from '../../helpers/jobs/daemonChecks.ts';
import { longOr } from '../../helpers/longForm.ts';

/** Lord Howe skips half an hour, and 02:05 is in it. The suite tries the first three. */
const FORTNIGHTS: readonly Fortnight[] = [
  ['Asia/Beirut', '2026-03-22T12:00:00Z', '00:00', '2026-03-29 01:00', 336],
  ['America/Sao_Paulo', '2018-10-28T12:00:00Z', '00:30', '2018-11-04 01:00', 336],
  ['Australia/Lord_Howe', '2026-09-27T12:00:00Z', '02:15', '2026-10-04 02:30', 335],
  ['Australia/Lord_Howe', '2026-03-29T12:00:00Z', '01:45', '2026-04-05 01:45', 336],
  ['America/Nuuk', '2026-03-22T12:00:00Z', '23:30', '2026-03-29 00:00', 336],
];

describe('a fortnight', () => {
  it.each(FORTNIGHTS.slice(0, longOr(FORTNIGHTS.length, 3)))(
    'in %s from %s: %s runs once a day',
    expectFortnight,
  );
});

describe('any sequence of stops, kills and pauses', () => {
  it('starts or misses each slot exactly once', async () => {
    await expectEachSlotOnce(longOr(20, 10));
  });
});
