import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeMetricsFile } from '../../../../src/jobs/metrics/metricsFile.ts';
import { useTempFolder } from '../../../helpers/tempFolder.ts';

const folder = useTempFolder();

describe('the file of metrics', () => {
  it('can be read by others, whatever the umask is', async () => {
    const file = folder.path('ovirt-cbt.prom');
    const umask = process.umask(0o077);
    try {
      await writeMetricsFile(file, 'text\n');
    } finally {
      process.umask(umask);
    }

    expect(readFileSync(file, 'utf8')).toBe('text\n');
    expect(statSync(file).mode & 0o777).toBe(0o644);
  });

  it('is replaced as a whole, and leaves nothing else', async () => {
    const file = folder.path('ovirt-cbt.prom');
    await writeMetricsFile(file, 'old\n');
    const before = statSync(file).ino;

    await writeMetricsFile(file, 'new\n');

    expect(readFileSync(file, 'utf8')).toBe('new\n');
    expect(statSync(file).ino).not.toBe(before);
    expect(readdirSync(path.dirname(file))).toEqual(['ovirt-cbt.prom']);
  });

  it('has the text of one of many writers', async () => {
    const file = folder.path('ovirt-cbt.prom');
    const texts = Array.from({ length: 20 }, (_, k) => `${k}`.repeat(50_000));

    await Promise.all(texts.map(async (text) => await writeMetricsFile(file, text)));

    expect(texts).toContain(readFileSync(file, 'utf8'));
    expect(readdirSync(path.dirname(file))).toEqual(['ovirt-cbt.prom']);
  });

  it('is cleaned from what a killed writer left, but not from what others write now', async () => {
    const file = folder.path('ovirt-cbt.prom');
    const old = folder.path('ovirt-cbt.prom.1.partial');
    const fresh = folder.path('ovirt-cbt.prom.2.partial');
    const foreign = folder.path('node.prom.3.partial');
    for (const name of [old, fresh, foreign]) writeFileSync(name, 'part');
    const twoHoursAgo = Date.now() / 1000 - 7200;
    for (const name of [old, foreign]) utimesSync(name, twoHoursAgo, twoHoursAgo);

    await writeMetricsFile(file, 'text\n');

    expect([old, fresh, foreign].map((name) => existsSync(name))).toEqual([false, true, true]);
  });

  it('needs its folder', async () => {
    await expect(writeMetricsFile(folder.path('missing', 'x.prom'), '')).rejects.toMatchObject({
      code: 'OUTPUT_IO',
      message: expect.stringContaining(`the folder ${folder.path('missing')} does not exist`),
      hint: expect.stringContaining('node_exporter'),
    });
  });

  it('cannot take the place of a folder, and leaves no part then', async () => {
    const target = folder.make('ovirt-cbt.prom');

    await expect(writeMetricsFile(target, 'text')).rejects.toMatchObject({ code: 'OUTPUT_IO' });
    expect(readdirSync(path.dirname(target))).toEqual(['ovirt-cbt.prom']);
  });
});
