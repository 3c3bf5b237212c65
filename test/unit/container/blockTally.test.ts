/** The map of the changes on a disk, against a count byte by byte. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockTally } from '../../../src/container/write/blockTally.ts';
import { blockLengthAt } from '../../../src/core/units.ts';

const BLOCK_BYTES = 4096;

function tallyOf(sizeBytes: number): BlockTally {
  return new BlockTally({ blockSizeBytes: BLOCK_BYTES, virtualSizeBytes: sizeBytes });
}

describe('BlockTally', () => {
  it('gives a cell to each block of a small disk', () => {
    const tally = tallyOf(4 * BLOCK_BYTES);
    tally.addData(1, BLOCK_BYTES);
    tally.addZeros(2, 1);

    expect(tally.toMap()).toEqual({ cellBytes: BLOCK_BYTES, cells: '.90.' });
  });

  it('has at most 240 cells, of whole blocks', () => {
    expect(tallyOf(240 * BLOCK_BYTES).toMap().cells).toHaveLength(240);
    const { cellBytes, cells } = tallyOf(241 * BLOCK_BYTES).toMap();

    expect(cellBytes).toBe(2 * BLOCK_BYTES);
    expect(cells).toBe('.'.repeat(121));
  });

  it('rounds the share of data up, to ninths', () => {
    const tally = tallyOf(4800 * BLOCK_BYTES);
    tally.addData(0, BLOCK_BYTES);
    for (let index = 20; index < 40; index++) tally.addData(index, BLOCK_BYTES);
    for (let index = 40; index < 51; index++) tally.addData(index, BLOCK_BYTES);

    expect(tally.toMap().cells.slice(0, 4)).toBe('195.');
  });

  it('shows data where there are zeros too', () => {
    const tally = tallyOf(480 * BLOCK_BYTES);
    tally.addZeros(0, 480);
    tally.addData(3, BLOCK_BYTES);

    expect(tally.toMap().cells.slice(0, 3)).toBe('050');
  });

  it('counts the short end of a disk as its whole cell', () => {
    const tally = tallyOf(BLOCK_BYTES + 1);
    tally.addData(1, 1);

    expect(tally.toMap().cells).toBe('.9');
  });

  it('is empty for a disk of 0 bytes', () => {
    expect(tallyOf(0).toMap()).toEqual({ cellBytes: BLOCK_BYTES, cells: '' });
  });

  it('agrees with a count block by block', () => {
    const kinds = fc.array(fc.constantFrom('data', 'zero', 'same'), { maxLength: 900 });
    fc.assert(
      fc.property(kinds, fc.integer({ min: 1, max: BLOCK_BYTES }), (blocks, endBytes) => {
        const sizeBytes = Math.max(0, blocks.length - 1) * BLOCK_BYTES + endBytes;
        const tally = tallyOf(blocks.length === 0 ? 0 : sizeBytes);
        for (const [index, kind] of blocks.entries()) {
          if (kind === 'data') tally.addData(index, blockLengthAt(index, sizeBytes, BLOCK_BYTES));
          if (kind === 'zero') tally.addZeros(index, 1);
        }
        const { cellBytes, cells } = tally.toMap();
        const perCell = cellBytes / BLOCK_BYTES;
        const expected = Array.from({ length: Math.ceil(blocks.length / perCell) }, (_, cell) => {
          const ofCell = blocks.slice(cell * perCell, (cell + 1) * perCell);
          const lengthOf = (k: number): number =>
            blockLengthAt(cell * perCell + k, sizeBytes, BLOCK_BYTES);
          const all = ofCell.reduce((sum, _kind, k) => sum + lengthOf(k), 0);
          const data = ofCell.reduce(
            (sum, kind, k) => sum + (kind === 'data' ? lengthOf(k) : 0),
            0,
          );
          if (data > 0) return String(Math.ceil((9 * data) / all));
          return ofCell.includes('zero') ? '0' : '.';
        });
        expect(cells).toBe(expected.join(''));
      }),
      { numRuns: 50 },
    );
  });
});
