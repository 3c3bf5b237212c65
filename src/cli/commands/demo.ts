/**
 * The demo: backs up and restores a VM with real files on a simulated engine. It fails when
 * restored data differs from the data of the guest.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXIT_CODES, IntegrityError } from '../../core/errors.ts';
import { formatBytes, formatDuration, MIB, roundUp } from '../../core/units.ts';
import type { Lab, LabDisk, LabVm } from 'ovirt-cbt-lab';
import { scaleTimings } from '../../ovirt/timings.ts';
import { backupVms } from '../../sessions/backup/backupVms.ts';
import type { SessionMessage } from '../../core/messages.ts';
import type { SessionReport } from '../../sessions/shared/report.ts';
import { restoreVm, type RestoreVmReport } from '../../sessions/restore/restoreVm.ts';
import { verifyRepository, type VerifyReport } from '../../sessions/verify/verifyRepository.ts';
import { PACKAGE_FOLDER } from '../../core/installation.ts';
import type { CommandContext } from '../context.ts';
import { loadLab } from './labPackage.ts';
import { formatSession } from '../output/sessionOutput.ts';
import { formatTable } from '../output/table.ts';

const DISK_BYTES = 512 * MIB;
const SYSTEM_FILL_BYTES = 96 * MIB;
const DATA_FILL_BYTES = 32 * MIB;
const FILE_ALIGN_BYTES = 4096;
/** Factor for all waits of the simulated engine and its client. A real engine has 1. */
const TIME_SCALE = 0.02;

async function* realFiles(folder: string): AsyncGenerator<string> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const full = path.join(folder, entry.name);
    if (entry.isDirectory()) yield* realFiles(full);
    else if (entry.isFile()) yield full;
  }
}

/** Copies a file to the disk at `range.at`, and moves `range.at` to the aligned end of the file. */
async function copyInto(
  disk: LabDisk,
  file: string,
  range: { at: number; end: number },
): Promise<void> {
  for await (const chunk of createReadStream(file, { highWaterMark: MIB })) {
    const bytes = (chunk as Buffer).subarray(0, range.end - range.at);
    disk.write(range.at, bytes);
    range.at += bytes.length;
    if (range.at >= range.end) return;
  }
  range.at = roundUp(range.at, FILE_ALIGN_BYTES);
}

/** Fills a disk with files of this installation, then with the Node.js binary. */
async function fill(disk: LabDisk, fillBytes: number): Promise<void> {
  const range = { at: MIB, end: MIB + fillBytes };
  const installation = fileURLToPath(PACKAGE_FOLDER);
  for await (const file of realFiles(installation)) {
    if (range.at >= MIB + fillBytes / 2) break;
    await copyInto(disk, file, range);
  }
  while (range.at < range.end) await copyInto(disk, process.execPath, range);
}

/** Changes of a guest between two backups: small writes, also into holes, and a discard. */
function guestWrites(vm: LabVm, round: number): void {
  const text = Buffer.from(`written by the guest in round ${round}\n`);
  for (const offset of [3 * MIB + 17, 77 * MIB, (200 + round) * MIB]) {
    vm.disk('system').write(offset, text);
  }
  vm.disk('system').zero((10 + round) * MIB, MIB);
  vm.disk('data').write((5 + round) * MIB + 99, text);
}

/** Columns without which the table can do on a narrow terminal. */
const COLUMN_KINDS = { unchanged: 'extra', file: 'extra', time: 'extra', reason: 'note' } as const;

function row(step: string, report: SessionReport): string[][] {
  return report.disks.map((disk, k) => [
    k === 0 ? step : '',
    disk.alias,
    disk.mode,
    ...[disk.readBytes, disk.unchangedBytes, disk.changedBytes, disk.storedBytes].map(formatBytes),
    k === 0 ? formatBytes(report.fileBytes) : '',
    k === 0 ? formatDuration(report.durationSeconds * 1000) : '',
    disk.reason,
  ]);
}

function differs(what: string): IntegrityError {
  return new IntegrityError('INTEGRITY_DAMAGE_FOUND', `demo: ${what}`, {
    hint: 'this must never happen: please report it',
  });
}

class Demo {
  readonly #lab: Lab;
  readonly #vm: LabVm;
  readonly #repository: string;
  readonly #context: CommandContext;

  constructor(lab: Lab, vm: LabVm, repository: string, context: CommandContext) {
    this.#lab = lab;
    this.#vm = vm;
    this.#repository = repository;
    this.#context = context;
  }

  async play(): Promise<number> {
    const vm = this.#vm;
    this.#say('1. a VM with a qcow2 disk "system" and a RAW disk "data", filled with real files');
    await fill(vm.disk('system'), SYSTEM_FILL_BYTES);
    await fill(vm.disk('data'), DATA_FILL_BYTES);
    this.#say('2. full backup; the guest continues to write meanwhile');
    const full = await this.#backup(() => guestWrites(vm, 1));
    this.#say('3. increment: "system" by its change map, "data" has none and is compared');
    guestWrites(vm, 2);
    const increment = await this.#backup(() => guestWrites(vm, 3));
    this.#say(formatSession(increment, this.#context.form));
    this.#say('4. somebody reverts a snapshot, which drops all checkpoints; the next increment');
    vm.revertSnapshot('removed');
    guestWrites(vm, 4);
    const compared = await this.#backup(() => {});
    this.#say('5. verify every stored block of all restore points');
    const { signal, logger } = this.#context;
    const repository = this.#repository;
    const verified = await verifyRepository({ repository, point: 'all', signal, logger });
    if (verified.damage.length > 0) throw differs('verify found damage');
    this.#say('6. restore each point to a new VM and compare it with its frozen view');
    const restored: RestoreVmReport[] = [];
    for (const report of [full, increment, compared]) restored.push(await this.#restore(report));
    this.#print([full, increment, compared], verified, restored);
    return EXIT_CODES.done;
  }

  #say(text: string): void {
    this.#context.printStep(text);
  }

  #settings(): Parameters<typeof backupVms>[0]['engine'] {
    const { url, username, password, caPem } = this.#lab;
    return { url, username, password, caPem, timings: scaleTimings(TIME_SCALE) };
  }

  /** @param meanwhile - called when the session reads its first byte. */
  async #backup(meanwhile: () => void): Promise<SessionReport> {
    const path = /\/images\/[^/]+$/;
    const fault = this.#lab.faults.add(
      { server: 'imageio', method: 'GET', path, nth: 1 },
      { run: meanwhile },
    );
    const { signal, logger } = this.#context;
    // The repository of the demo is always new.
    const onMessage = (message: SessionMessage): void => {
      if (message.code !== 'REPO-530') this.#context.onMessage(message);
    };
    const job = await backupVms({
      engine: this.#settings(),
      vms: [this.#vm.name],
      repository: this.#repository,
      signal,
      logger,
      onMessage,
    });
    this.#lab.faults.remove(fault);
    const [report] = job.sessions;
    if (!report) throw differs('a session left no report');
    return report;
  }

  async #restore(report: SessionReport): Promise<RestoreVmReport> {
    const { signal, logger, onMessage } = this.#context;
    const asVm = `${this.#vm.name}-point-${report.pointNumber}`;
    const restored = await restoreVm({
      engine: this.#settings(),
      repository: this.#repository,
      vm: this.#vm.name,
      point: report.pointId,
      asVm,
      storageDomain: 'data',
      cluster: 'Default',
      signal,
      logger,
      onMessage,
    });
    for (const disk of restored.disks) {
      const expected = this.#vm.frozenView(report.engine?.backupId ?? '', disk.diskId).digest();
      if (this.#lab.disk(disk.newDiskId).digest() !== expected) {
        throw differs(`disk ${disk.alias} of restore point ${report.pointNumber} differs`);
      }
    }
    return restored;
  }

  #print(
    sessions: readonly SessionReport[],
    verified: VerifyReport,
    restored: readonly RestoreVmReport[],
  ): void {
    const header = ['session', 'disk', 'mode', 'read', 'unchanged', 'changed', 'stored', 'file'];
    const names = ['full', 'increment', 'checkpoint lost'];
    const rows = sessions.flatMap((report, k) => row(names[k] ?? '', report));
    const { form } = this.#context;
    const table = formatTable([...header, 'time', 'reason'], rows, form, COLUMN_KINDS);
    const seconds = restored.reduce((sum, report) => sum + report.durationSeconds, 0);
    const verdict = [
      `verify ${formatDuration(verified.durationSeconds * 1000)}: no damage`,
      `${restored.length} points restored to the engine in ${formatDuration(seconds * 1000)}, every disk equals its frozen view`,
      `left on the engine: ${this.#lab.leftovers().join(', ') || 'nothing'}`,
    ].join('\n');
    const report = { type: 'demo', sessions, verified, restored };
    this.#context.print(report, `\n${table}\n${verdict}`);
  }
}

/** Plays the demo on a simulated engine in this process. @returns the exit code. */
export async function playDemo(context: CommandContext): Promise<number> {
  const labPackage = await loadLab();
  const folder = await mkdtemp(path.join(tmpdir(), 'ovirt-cbt-demo-'));
  try {
    await using lab = await labPackage.startLab({ timeScale: TIME_SCALE });
    const vm = lab.addVm({
      name: 'demo',
      disks: [
        { name: 'system', sizeBytes: DISK_BYTES, bootable: true },
        { name: 'data', sizeBytes: DISK_BYTES / 4, format: 'raw' },
      ],
    });
    return await new Demo(lab, vm, path.join(folder, 'repository'), context).play();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
