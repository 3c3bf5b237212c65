/** `demo`: one small disk through the whole life of a backup, with its figures, in a temporary folder. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdtemp, open, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXIT_CODES, IntegrityError } from '../core/errors.ts';
import { formatBytes, formatDuration, MIB, roundUp } from '../core/units.ts';
import { backupImages } from '../session/backupImages.ts';
import type { SessionReport } from '../session/report.ts';
import { restoreImages } from '../session/restoreImages.ts';
import { verifyRepository } from '../session/verifyRepository.ts';
import type { CommandContext } from './context.ts';
import { formatSession, formatTable } from './output.ts';

const IMAGE_BYTES = 256 * MIB;
/** Real data is packed up to here; the rest of the image stays a hole. */
const FILL_BYTES = 160 * MIB;
const FILE_ALIGN_BYTES = 4096;
const EDIT_OFFSETS = [3 * MIB + 17, 77 * MIB, 200 * MIB];

async function* realFiles(folder: string): AsyncGenerator<string> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const full = path.join(folder, entry.name);
    if (entry.isDirectory()) yield* realFiles(full);
    else if (entry.isFile()) yield full;
  }
}

/** Copies a file into the image; returns the offset behind it. */
async function copyInto(image: FileHandle, file: string, offsetBytes: number): Promise<number> {
  let at = offsetBytes;
  for await (const chunk of createReadStream(file, { highWaterMark: MIB })) {
    const bytes = (chunk as Buffer).subarray(0, FILL_BYTES - at);
    await image.write(bytes, 0, bytes.length, at);
    at += bytes.length;
    if (at >= FILL_BYTES) break;
  }
  return roundUp(at, FILE_ALIGN_BYTES);
}

/** A sparse raw image that holds the files of this installation and of Node.js. */
async function buildImage(file: string): Promise<void> {
  const image = await open(file, 'wx', 0o600);
  try {
    await image.truncate(IMAGE_BYTES);
    let at = MIB;
    const installation = fileURLToPath(new URL('../../', import.meta.url));
    for await (const source of realFiles(installation)) {
      if (at < FILL_BYTES / 2) at = await copyInto(image, source, at);
    }
    if (at < FILL_BYTES) await copyInto(image, process.execPath, at);
  } finally {
    await image.close();
  }
}

/** What a guest would do between two backups: a few writes, one of them into a hole. */
async function editImage(file: string): Promise<void> {
  const image = await open(file, 'r+');
  try {
    for (const offset of EDIT_OFFSETS) await image.write(`edited at ${offset}\n`, offset);
  } finally {
    await image.close();
  }
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: MIB }))
    hash.update(chunk as Buffer);
  return hash.digest('hex');
}

function row(step: string, report: SessionReport): string[] {
  const disk = report.disks[0];
  if (!disk) return [step];
  const sizes = [disk.readBytes, disk.changedBytes, disk.storedBytes, report.fileBytes];
  return [
    step,
    disk.mode,
    ...sizes.map(formatBytes),
    `${formatBytes(disk.readBytesPerSecond)}/s`,
    formatDuration(report.durationSeconds * 1000),
  ];
}

/** Runs the demo; fails when the restored image differs from the one that was backed up. */
export async function runDemo(context: CommandContext): Promise<number> {
  const folder = await mkdtemp(path.join(tmpdir(), 'ovirt-cbt-demo-'));
  try {
    return await demoIn(folder, context);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function demoIn(folder: string, context: CommandContext): Promise<number> {
  const [image, repository, output] = ['demo.raw', 'repository', 'restored'].map((name) =>
    path.join(folder, name),
  ) as [string, string, string];
  const say = (text: string): void => {
    if (!context.isJson) process.stdout.write(`${text}\n`);
  };
  const { signal, logger, onMessage } = context;
  const common = { images: [image], vmName: 'demo', repository, signal, logger, onMessage };
  say('1. building an image from real files');
  await buildImage(image);
  say(`   ${formatBytes(IMAGE_BYTES)}, ${formatBytes((await stat(image)).blocks * 512)} allocated`);
  say('2. full backup');
  const full = await backupImages(common);
  say('3. three writes as a guest would do them, then a backup by comparison');
  await editImage(image);
  const increment = await backupImages(common);
  say(formatSession(increment));
  say('4. verify every stored block of both restore points');
  const verified = await verifyRepository({ repository, point: 'all', signal, logger });
  say('5. restore the newest restore point and compare it with the image');
  const restored = await restoreImages({ repository, vm: 'demo', output, signal, logger });
  const [before, after] = [await sha256(image), await sha256(restored.disks[0]?.path ?? '')];
  if (before !== after || verified.damage.length > 0) {
    throw new IntegrityError('INTEGRITY_DAMAGE_FOUND', 'demo: the restored image differs', {
      hint: 'this must never happen: please report it',
    });
  }
  const header = ['session', 'mode', 'read', 'changed', 'stored', 'file', 'rate (read)', 'time'];
  const table = formatTable(header, [row('full', full), row('increment', increment)]);
  const seconds = [verified.durationSeconds, restored.durationSeconds] as const;
  const [verifyTime, restoreTime] = seconds.map((s) => formatDuration(s * 1000));
  const verdict = `verify ${verifyTime}: no damage; restore ${restoreTime}: identical, SHA-256 ${after}`;
  context.print({ type: 'demo', full, increment, verified, restored }, `\n${table}\n${verdict}`);
  return EXIT_CODES.done;
}
