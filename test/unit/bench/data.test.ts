import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { dataBytesOf } from '../../../bench/data.ts';

const MIB = 1024 ** 2;
const folder = mkdtempSync(path.join(tmpdir(), 'cbt-data-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('dataBytesOf', () => {
  it('leaves out holes', async () => {
    const file = path.join(folder, 'sparse');
    writeFileSync(file, Buffer.alloc(MIB, 1), { flush: true });
    truncateSync(file, 64 * MIB);
    const dataBytes = await dataBytesOf(file);
    expect(dataBytes).toBeGreaterThanOrEqual(MIB);
    expect(dataBytes).toBeLessThan(2 * MIB);
  });

  it('is never more than the size', async () => {
    const file = path.join(folder, 'small');
    writeFileSync(file, 'x', { flush: true });
    expect(await dataBytesOf(file)).toBeLessThanOrEqual(1);
  });
});
