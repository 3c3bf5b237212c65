/**
 * A job as an administrator sets it up once: 20 VMs in all modes, of which two fail. It has
 * retention, a copy off site, a mail, metrics, a page and a history. The compiled command line does
 * all of it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { beforeEach, expect, it } from 'vitest';
import type { LabDiskSpec, LabVm, LabVmSpec } from '../../../lab/src/index.ts';
import { EXIT_CODES } from '../../../src/core/errors.ts';
import type { RunReport, VmResult } from '../../../src/jobs/runReport.ts';
import { listRepository } from '../../../src/sessions/inspect/listRepository.ts';
import { verifyRepository } from '../../../src/sessions/verify/verifyRepository.ts';
import { BLOCK_BYTES } from '../../helpers/bytes/images.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { useCliLab } from '../../helpers/cli/cliLab.ts';
import { startMailServer } from '../../helpers/jobs/mailServer.ts';
import { promtool, promtoolProblem } from '../../helpers/jobs/prometheus.ts';
import { contentOf } from '../../helpers/repository/imageSessions.ts';

const MIB = 1024 * 1024;
const MAIL_PASSWORD = 'mail-password-of-the-test';
const bench = useCliLab();

type Kind = Pick<LabVmSpec, 'compatibility' | 'status'> & { readonly disk?: Partial<LabDiskSpec> };

/** VMs whose second session reads changes only, on all kinds of engines. */
const TRACKED: readonly Kind[] = [
  { compatibility: [4, 7] },
  { compatibility: [4, 6] },
  { compatibility: [4, 6], status: 'down' },
];
/** VMs whose second session compares the whole disk. */
const COMPARED: readonly Kind[] = [
  { disk: { format: 'raw' } },
  { disk: { backup: 'none' } },
  { disk: { rawBase: true } },
];

function addVm(name: string, { disk, ...kind }: Kind): LabVm {
  const spec = { name: `${name}_sys`, sizeBytes: MIB, ...disk };
  const vm = bench.lab.addVm({ name, ...kind, disks: [spec] });
  vm.disk(spec.name).write(
    0,
    noise(name.length + name.charCodeAt(name.length - 1), 2 * BLOCK_BYTES),
  );
  return vm;
}

function addAll(prefix: string, count: number, kinds: readonly Kind[]): LabVm[] {
  return Array.from({ length: count }, (_, k) =>
    addVm(`${prefix}${String(k + 1).padStart(2, '0')}`, kinds[k % kinds.length] ?? {}),
  );
}

function jobFile(): string {
  return bench.temp.path('ovirt-cbt.yaml');
}

function writeJobFile(mailPort: number): void {
  writeFileSync(
    jobFile(),
    `
engines:
  prod: { url: ${bench.lab.url}, username: ${bench.lab.username}, passwordFile: password, caFile: ca.pem }
repositories:
  main: { path: main }
  offsite: { path: offsite }
jobs:
  nightly:
    engine: prod
    vms: { all: true, exclude: ['scratch*'] }
    repository: main
    window: { until: '23:59' }
    backup: { workers: 0, blockSize: 256KiB }
    limits: { parallelVms: 8, perStorageDomain: 8 }
    retry: { times: 1, delay: 1s }
    keep: { last: 1 }
    verify: { sample: 50% }
    copyTo: offsite
    notify: [ops]
  evening:
    engine: prod
    vms: { all: true, exclude: ['scratch*', 'bad*', 'new*'] }
    repository: main
    backup: { workers: 0, blockSize: 256KiB }
    limits: { parallelVms: 8 }
    retry: { times: 10, delay: 2s }
  morning:
    engine: prod
    vms: { all: true }
    repository: main
    backup: { workers: 0 }
    retry: { times: 10, delay: 2s }
notify:
  ops:
    on: [failure, warning, missed]
    mail:
      host: 127.0.0.1
      port: ${mailPort}
      security: starttls
      caFile: mail-ca.pem
      username: backup
      passwordFile: mail-password
      from: backup@example.org
      to: [ops@example.org]
metrics: { textfile: ovirt-cbt.prom }
stateFolder: state
`,
  );
}

beforeEach(() => {
  writeFileSync(bench.temp.path('mail-password'), `${MAIL_PASSWORD}\n`, { mode: 0o600 });
});

function outcomes({ vms }: RunReport): Record<VmResult['outcome'], number> {
  const counts = { success: 0, warning: 0, failure: 0, notStarted: 0 };
  for (const { outcome } of vms) counts[outcome]++;
  return counts;
}

/** The newest point of each VM, in both repositories, is the view that the engine froze. */
async function expectRestorable(vms: readonly LabVm[], report: RunReport): Promise<void> {
  for (const vm of vms) {
    const session = report.vms.find(({ vmId }) => vmId === vm.id)?.report;
    const alias = vm.disks[0]?.name ?? '';
    const frozen = vm.frozenView(session?.engine?.backupId ?? '', alias).digest();
    for (const name of ['main', 'offsite']) {
      const content = await contentOf(bench.temp.path(name), vm.id, 'latest');
      expect(content, `${vm.name} in ${name}`).toEqual({ [alias]: frozen });
    }
  }
}

it('backs up 20 VMs of which two fail, and tells it everywhere', async () => {
  await using mail = await startMailServer({
    authOptional: false,
    onAuth: ({ username, password }, _session, callback) => {
      const isGood = username === 'backup' && password === MAIL_PASSWORD;
      callback(isGood ? null : new Error('refused'), isGood ? { user: username } : undefined);
    },
  });
  writeFileSync(bench.temp.path('mail-ca.pem'), mail.caPem);
  writeJobFile(mail.port);
  const tracked = addAll('web', 10, TRACKED);
  const compared = addAll('raw', 6, COMPARED);
  addVm('scratch01', {});
  const evening = await bench.run(['run', 'evening', '--file', jobFile(), '--json']);
  expect(outcomes(JSON.parse(evening.stdout) as RunReport)).toMatchObject({ failure: 0 });
  for (const [k, vm] of [...tracked, ...compared].entries()) {
    vm.disks[0]?.write(BLOCK_BYTES, noise(100 + k, 1000));
  }
  const fresh = addAll('new', 2, [{}]);
  const bad = addAll('bad', 2, [{ status: 'suspended' }]);
  const page = bench.temp.path('run.html');

  const { exitCode, stdout, stderr } = await bench.run([
    'run',
    'nightly',
    '--file',
    jobFile(),
    '--json',
    '--report',
    page,
  ]);

  const report = JSON.parse(stdout) as RunReport;
  expect(exitCode, stderr).toBe(EXIT_CODES.doneWithProblems);
  expect(report.vms).toHaveLength(20);
  expect(outcomes(report)).toEqual({ success: 12, warning: 6, failure: 2, notStarted: 0 });
  const modes = report.vms.map((vm) => [vm.vmName.slice(0, 3), vm.report?.disks[0]?.mode]);
  expect(modes).toEqual([
    ...bad.map(() => ['bad', undefined]),
    ...fresh.map(() => ['new', 'full']),
    ...compared.map(() => ['raw', 'compare']),
    ...tracked.map(() => ['web', 'incremental']),
  ]);
  const failed = report.vms.filter(({ outcome }) => outcome === 'failure');
  expect(failed.map(({ attempts, failure }) => [attempts, failure?.code])).toEqual([
    [2, 'ENGINE_VM_STATE'],
    [2, 'ENGINE_VM_STATE'],
  ]);

  // Retention, verification and copy.
  const merged = report.prune?.vms.map(({ points }) => points.map(({ action }) => action));
  expect(merged?.filter((actions) => actions.join() === 'merge,keep')).toHaveLength(16);
  expect(report.verify).toMatchObject({ outcome: 'ok', failures: [] });
  expect(report.copy?.vms.map(({ copied }) => copied.length)).toEqual(Array(18).fill(1));
  await expectRestorable([...tracked, ...compared, ...fresh], report);
  const offsite = { repository: bench.temp.path('offsite'), workers: 0 };
  expect((await verifyRepository(offsite)).outcome).toBe('ok');

  // The page.
  const html = readFileSync(page, 'utf8');
  for (const { vmName } of report.vms) expect(html).toContain(vmName);
  expect(html).toContain('ENGINE_VM_STATE');
  expect(html).not.toContain('<script');

  // One mail, encrypted, with the page.
  expect(mail.mails).toHaveLength(1);
  const [sent] = mail.mails;
  expect(sent).toMatchObject({ isSecure: true, user: 'backup', to: ['ops@example.org'] });
  expect(sent?.parsed.subject).toMatch(/nightly.*2 failed/);
  expect(sent?.parsed.text).toContain('bad01');
  expect(sent?.parsed.attachments.map(({ contentType }) => contentType)).toEqual(['text/html']);

  // Metrics.
  const metrics = readFileSync(bench.temp.path('ovirt-cbt.prom'), 'utf8');
  expect(metrics).toMatch(/ovirt_cbt_last_run_success\{[^}]*nightly[^}]*\} 0/);
  const problem = promtoolProblem();
  if (problem) console.warn(`The metrics are not given to promtool: ${problem}`);
  else expect(promtool(['check', 'metrics'], metrics)).toEqual({ status: 0, output: '' });

  // History.
  const repo = ['--repo', bench.temp.path('main')];
  const runs = await bench.run(['history', ...repo, '--job', 'nightly']);
  expect([runs.exitCode, runs.stdout]).toEqual([0, expect.stringMatching(/nightly/) as string]);
  const sessions = await bench.run(['history', ...repo, '--vm', 'web01']);
  expect(sessions.stdout).toMatch(/backup/);

  // No secret is anywhere; the bench looks for those of the engine in the output.
  const written = [stdout, stderr, html, metrics, sent?.raw ?? '', runs.stdout].join('\n');
  for (const secret of [MAIL_PASSWORD, ...bench.lab.secrets()])
    expect(written).not.toContain(secret);
});

it('that is stopped leaves complete points, and the next run goes on', async () => {
  writeJobFile(9);
  addAll('web', 3, TRACKED);
  const args = ['run', 'evening', '--file', jobFile()];
  const started = bench.start(args);
  const isReading = { server: 'imageio', method: 'GET', path: /\/images\// } as const;
  bench.lab.faults.add({ ...isReading, nth: 1 }, { run: () => void started.child.kill('SIGTERM') });

  const { exitCode } = await started.ended;
  const next = await bench.run([...args, '--json']);

  expect(exitCode).toBe(EXIT_CODES.terminated);
  expect(next.exitCode).toBe(0);
  expect(outcomes(JSON.parse(next.stdout) as RunReport)).toMatchObject({ failure: 0 });
});

it('that is killed is cleaned up by the next run, which is not refused', async () => {
  writeJobFile(9);
  addAll('web', 3, TRACKED);
  const args = ['run', 'evening', '--file', jobFile()];
  const started = bench.start(args);
  const isReading = { server: 'imageio', method: 'GET', path: /\/images\// } as const;
  bench.lab.faults.add({ ...isReading, nth: 1 }, { run: () => void started.child.kill('SIGKILL') });

  await started.ended;
  const next = await bench.run([...args, '--json']);

  const report = JSON.parse(next.stdout) as RunReport;
  expect(next.exitCode, next.stderr).toBe(0);
  expect(outcomes(report)).toEqual({ success: 3, warning: 0, failure: 0, notStarted: 0 });
});

it('shares its VMs with a job of another process: what that had locked is tried again', async () => {
  writeJobFile(9);
  const vms = addAll('web', 3, TRACKED);

  const both = await Promise.all(
    ['evening', 'morning'].map((job) => bench.run(['run', job, '--file', jobFile(), '--json'])),
  );

  for (const { exitCode, stdout, stderr } of both) {
    expect(exitCode, stderr).toBe(0);
    expect(outcomes(JSON.parse(stdout) as RunReport)).toMatchObject({ failure: 0, notStarted: 0 });
  }
  const { vms: listed } = await listRepository({ repository: bench.temp.path('main') });
  expect(listed.map(({ points }) => points.length)).toEqual(vms.map(() => 2));
});
