/** The log file: named pipes with slow readers, and files that fail. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { LogFile } from '../../../src/cli/output/logFile.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();
const LINE = `${JSON.stringify({ msg: 'x'.repeat(1000) })}\n`;
const MIB = 1024 * 1024;

function fail(cause: string): never {
  throw new Error(cause);
}

test('a line is in the file when its write returns, and only its owner can read it', async () => {
  const log = new LogFile(temp.path('log'), fail);

  log.write('first\n');

  expect(readFileSync(temp.path('log'), 'utf8')).toBe('first\n');
  expect(statSync(temp.path('log')).mode & 0o777).toBe(0o600);
  await log.close();
});

test('lines are appended to a file that exists', async () => {
  for (const line of ['first\n', 'second\n']) {
    const log = new LogFile(temp.path('log'), fail);
    log.write(line);
    await log.close();
  }

  expect(readFileSync(temp.path('log'), 'utf8')).toBe('first\nsecond\n');
});

test('a failure is told once', async () => {
  const causes: string[] = [];
  const log = new LogFile('/dev/full', (cause) => causes.push(cause));

  for (let k = 0; k < 3; k++) log.write(LINE);
  await log.close();

  expect(causes).toEqual(['ENOSPC']);
});

describe('a named pipe', () => {
  test('gets whole lines from a slow reader, and a line that tells how many were dropped', async () => {
    const pipe = temp.path('pipe');
    execFileSync('mkfifo', [pipe]);
    const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const log = new LogFile(pipe, fail);
    for (let k = 0; k < 1000; k++) log.write(LINE);

    const closed = log.close();
    const text = await readAll(reader, closed);

    closeSync(reader);
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { msg: string });
    const [last, ...others] = lines.toReversed();
    const dropped = 1000 - others.length;
    expect(dropped).toBeGreaterThan(0);
    expect(last?.msg).toBe(`${dropped} log lines were dropped, because nobody read them in time`);
  });

  test('whose reader goes away is a failure', async () => {
    const causes: string[] = [];
    const pipe = temp.path('pipe');
    execFileSync('mkfifo', [pipe]);
    const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const log = new LogFile(pipe, (cause) => causes.push(cause));

    closeSync(reader);
    log.write(LINE);
    await log.close();

    expect(causes).toEqual(['EPIPE']);
  });
});

/** Reads a pipe until `closed` settles and the pipe is empty. */
async function readAll(fd: number, closed: Promise<void>): Promise<string> {
  let isClosed = false;
  void closed.then(() => (isClosed = true));
  const piece = Buffer.alloc(MIB);
  const pieces: Buffer[] = [];
  for (;;) {
    const wasClosed = isClosed;
    const readBytes = tryRead(fd, piece);
    if (readBytes > 0) pieces.push(Buffer.from(piece.subarray(0, readBytes)));
    else if (wasClosed) return Buffer.concat(pieces).toString();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** @returns 0 when the pipe is empty. */
function tryRead(fd: number, target: Buffer): number {
  try {
    return readSync(fd, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
    throw error;
  }
}
