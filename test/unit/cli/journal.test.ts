/** Lines of stderr for the journal of systemd. */
import { fstatSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isJournalStream, withPriority } from '../../../src/cli/output/formatMessage.ts';

describe('the journal', () => {
  it('is known by the device and the number of its file', () => {
    const { dev, ino } = fstatSync(2, { bigint: true });

    expect(isJournalStream(`${dev}:${ino}`, 2)).toBe(true);
    expect(isJournalStream(`${dev}:${ino + 1n}`, 2)).toBe(false);
    expect(isJournalStream(undefined, 2)).toBe(false);
    expect(isJournalStream('', 2)).toBe(false);
    expect(isJournalStream(`${dev}:${ino}`, 9999)).toBe(false);
  });

  it('gets the priority of each line', () => {
    expect(withPriority('error: a\n  b', 'error')).toBe('<3>error: a\n<3>  b');
    expect(withPriority('warn: a', 'warn')).toBe('<4>warn: a');
    expect(withPriority('a', 'info')).toBe('<6>a');
  });
});
