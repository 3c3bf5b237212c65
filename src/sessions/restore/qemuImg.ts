/** Calls qemu-img, which writes the image formats that this program does not. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { CancelledError, errnoOf, OutputError, UsageError } from '../../core/errors.ts';

const run = promisify(execFile);

/** @throws {@link UsageError} `TOOL_MISSING` */
export async function requireQemuImg(): Promise<void> {
  try {
    await run('qemu-img', ['--version']);
  } catch (error) {
    throw new UsageError('TOOL_MISSING', 'qemu-img cannot be started', {
      cause: error,
      hint: 'install it (Debian package qemu-utils), or restore with --format raw',
    });
  }
}

/**
 * Converts a raw file to qcow2, into a file that exists. Paths are made absolute: qemu-img would
 * take a name like `-x` for an option, and `nbd:x` for a protocol.
 *
 * @throws {@link OutputError} `TOOL_FAILED`; {@link CancelledError} `CANCELLED`
 */
export async function convertToQcow2(
  rawPath: string,
  qcow2Path: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await run(
      'qemu-img',
      [
        'convert',
        '-f',
        'raw',
        '-O',
        'qcow2',
        ...[rawPath, qcow2Path].map((file) => path.resolve(file)),
      ],
      { signal },
    );
  } catch (error) {
    if (signal.aborted) throw new CancelledError('CANCELLED', 'the session was cancelled');
    const stderr = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1);
    throw new OutputError('TOOL_FAILED', `qemu-img convert: ${stderr || errnoOf(error)}`, {
      cause: error,
      hint: 'check the free space of the output folder, or restore with --format raw',
    });
  }
}
