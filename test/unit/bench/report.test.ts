import { describe, expect, it } from 'vitest';
import { PAIR_HEADER, pairRow, replaceMade } from '../../../bench/report.ts';
import type { CaseResult, PairResult } from '../../../bench/suite.ts';

const MIB = 1024 ** 2;

const OURS: CaseResult = {
  name: 'ours',
  seconds: 2,
  cpuSeconds: 4,
  serverCpuSeconds: undefined,
  peakRssBytes: 100 * MIB,
  loopDelayMs: 1.25,
};

const PAIR: PairResult = {
  title: 'a pair',
  ours: OURS,
  peer: { ...OURS, name: 'peer', seconds: 4, peakRssBytes: undefined },
  pairs: 3,
  readBytes: 512 * MIB,
  dataBytes: 256 * MIB,
  speedRatio: 2,
  interval: [1.5, 2.5],
};

function cells(pair: PairResult): Record<string, string | undefined> {
  const row = pairRow(pair);
  return Object.fromEntries(PAIR_HEADER.map((title, k) => [title, row[k]]));
}

describe('pairRow', () => {
  it('takes the size of the source as the base of rates, and its data as that of one', () => {
    expect(cells(PAIR)).toMatchObject({
      'times as fast': '2.00',
      '95 %': '1.50 to 2.50',
      'MiB/s ours / peer': '256 / 128',
      'CPU s/GiB ours / peer': '8.00 / 8.00',
      'CPU s/GiB of data ours / peer': '16.00 / 16.00',
      'server CPU s/GiB ours / peer': '-',
      'peak RSS ours / peer': '100.0 MiB / -',
    });
  });

  it('shows no rate of data where old results lack the size of the data', () => {
    expect(cells({ ...PAIR, dataBytes: undefined })).toMatchObject({
      'CPU s/GiB ours / peer': '8.00 / 8.00',
      'CPU s/GiB of data ours / peer': '-',
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
