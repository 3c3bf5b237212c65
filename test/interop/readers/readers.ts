/** Chains of the product, read by check_vbk.py and dissect.archive: no code is shared with them. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { env } from '../environment.ts';

const CHECKER = path.join(import.meta.dirname, '../vbk', 'check_vbk.py');
const MAX_OUTPUT_BYTES = 1 << 28;

export interface CheckedProperty {
  readonly name: string;
  readonly type: string;
  readonly value: string | number;
}

export interface CheckedItem {
  readonly path: string;
  readonly type: string;
  readonly size?: number;
  readonly properties: readonly CheckedProperty[] | null;
  readonly changed_blocks?: readonly { readonly index: number; readonly sparse: boolean }[];
}

export interface CheckedFile {
  readonly file: string;
  readonly block_size: number;
  readonly blocks: number;
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
  /** Notes on how dissect.archive was used, such as `unmodified reader`. */
  readonly dissect: readonly string[];
  readonly items: readonly CheckedItem[];
}

/** A disk at a restore point, composed from the whole chain. */
export interface CheckedDisk {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

export interface CheckedChain {
  readonly files: readonly CheckedFile[];
  readonly chain: readonly { readonly disks: readonly CheckedDisk[] }[];
}

/**
 * Paths of the sessions' containers, in the order of the sessions. File names cannot give this
 * order: two sessions may begin in the same second.
 */
export function containersOf(
  repository: string,
  reports: readonly Pick<SessionReport, 'fileName'>[],
): string[] {
  const files = readdirSync(repository, { recursive: true }).map(String);
  return reports.map(({ fileName }) => {
    const file = files.find((one) => path.basename(one) === fileName);
    if (file === undefined) throw new Error(`${fileName} is not in the repository`);
    return path.join(repository, file);
  });
}

/** Reads every byte of a chain of at least two containers with both readers. They must agree. */
export function readIndependently(files: readonly string[]): CheckedChain {
  const args = [CHECKER, '--fast', ...files];
  const options = { encoding: 'utf8', maxBuffer: MAX_OUTPUT_BYTES } as const;
  const python = path.join(env('INTEROP_VENV'), 'bin', 'python');
  const { status, stdout, stderr } = spawnSync(python, args, options);
  if (stdout === '') throw new Error(`check_vbk.py: ${stderr}`);
  const report = JSON.parse(stdout) as CheckedChain & { readonly chain_errors: readonly string[] };
  expect(report.files.flatMap(({ errors }) => errors)).toEqual([]);
  expect([status, report.chain_errors]).toEqual([0, []]);
  return report;
}

/** True for a disk. The other items are the product's own: the summary and the fingerprints. */
export function isDisk({ path: itemPath }: { readonly path: string }): boolean {
  return /\/[0-9a-f-]{36}$/.test(itemPath);
}
