/** Pages of `backup --report` for VMs of an engine. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { useCliLab } from '../helpers/cli/cliLab.ts';

const MIB = 1024 * 1024;

describe('on VMs of an engine', () => {
  const bench = useCliLab();

  it('a backup of one VM has the page of its session, of several VMs that of a run', async () => {
    for (const name of ['web01', 'web02']) {
      bench.lab.addVm({ name, disks: [{ name: `${name}_sys`, sizeBytes: MIB }] });
    }
    const [one, many] = [bench.temp.path('one.html'), bench.temp.path('many.html')];
    const single = await bench.run(bench.backupArgs(['web01'], '--report', one));
    const several = await bench.run(bench.backupArgs(['web*', 'gone'], '--report', many));
    const [onePage, manyPage] = [one, many].map((file) => readFileSync(file, 'utf8'));

    expect(single.exitCode).toBe(0);
    expect(onePage).toContain('<title>web01: success</title>');
    expect(onePage).toContain('Ends at checkpoint');
    expect(several.exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(manyPage).toContain('Backup of 3 VMs');
    expect(manyPage).toContain('3 VMs: 1 failed, 2 success');
    for (const secret of bench.lab.secrets()) expect(`${onePage}${manyPage}`).not.toContain(secret);
  });
});
