import { describe, expect, it } from 'vitest';
import { PAIR_HEADER, pairRow, replaceMade } from '../../../bench/report.ts';
import type { CaseResult } from '../../../bench/suite.ts';

const MIB = 1024 ** 2;

const OURS: CaseResult = {
  name: 'ours',
  seconds: 2,
  cpuSeconds: 4,
  serverCpuSeconds: undefined,
  peakRssBytes: 100 * MIB,
  loopDelayMs: 1.25,
};

describe('pairRow', () => {
  it('takes bytes read as the base of rates', () => {
    const peer = { ...OURS, name: 'peer', seconds: 4, peakRssBytes: undefined };
    const row = pairRow({
      title: 'a pair',
      ours: OURS,
      peer,
      pairs: 3,
      readBytes: 512 * MIB,
      speedRatio: 2,
      interval: [1.5, 2.5],
    });
    expect(Object.fromEntries(PAIR_HEADER.map((title, k) => [title, row[k]]))).toMatchObject({
      'times as fast': '2.00',
      '95 %': '1.50 to 2.50',
      'MiB/s ours / peer': '256 / 128',
      'CPU s/GiB ours / peer': '8.00 / 8.00',
      'server CPU s/GiB ours / peer': '-',
      'peak RSS ours / peer': '100.0 MiB / -',
    });
  });
});

describe('replaceMade', () => {
  it('replaces what is between the marks and nothing else', () => {
    const document = 'head\n<!-- made by the suite -->\nold\n<!-- end -->\ntail\n';
    expect(replaceMade(document, 'new')).toBe(
      'head\n<!-- made by the suite -->\n\nnew\n<!-- end -->\ntail\n',
    );
  });

  it('refuses a document without marks', () => {
    expect(() => replaceMade('nothing', 'new')).toThrow('no marks');
  });
});
