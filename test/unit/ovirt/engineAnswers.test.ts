/** Fault texts of the engine before they are classified. */
import { describe, expect, it } from 'vitest';
import { faultDetail } from '../../../src/ovirt/engine/engineAnswers.ts';

function fault(detail: string): string {
  return JSON.stringify({ fault: { reason: 'Operation Failed', detail } });
}

describe('the detail of a fault', () => {
  it('is its text', () => {
    expect(faultDetail(fault('[Disk is locked.]'))).toBe('[Disk is locked.]');
  });

  it('is cut, so that no text takes long to classify', () => {
    expect(faultDetail(fault('name '.repeat(1_000_000)))).toHaveLength(4000);
  });

  it('is empty for what is no fault', () => {
    expect(faultDetail('<html>Bad Gateway</html>')).toBe('');
  });
});
