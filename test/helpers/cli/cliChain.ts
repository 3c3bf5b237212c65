/** A chain of two points for tests of the command line, and the arguments of its commands. */
import { beforeEach } from 'vitest';
import { backupArgs } from './cli.ts';
import { blocks, writeImage } from '../bytes/images.ts';
import { backup, expectRestored, VM } from '../repository/imageSessions.ts';
import { onlyFileOf } from '../repository/repositoryFiles.ts';
import type { TempFolder } from '../tempFolder.ts';

export const FIRST: Buffer = blocks('AbC0');
export const SECOND: Buffer = blocks('Axy0');

const COMMON = ['--workers', '0'];

export interface CliChain {
  /** Tests may set another repository or image for the arguments. */
  repository: string;
  image: string;
  /** Id of the full, which holds {@link FIRST}; the increment on it holds {@link SECOND}. */
  firstPoint: string;
  full(): string;
  increment(): string;
  backupArgs(...more: string[]): string[];
  restoreArgs(...more: string[]): string[];
  /** Expects the full to restore to {@link FIRST}. */
  expectFirstPointKept(): Promise<void>;
}

/** Makes the chain before each test of the file. */
export function useCliChain(temp: TempFolder): CliChain {
  const chain: CliChain = {
    repository: '',
    image: '',
    firstPoint: '',
    full: () => onlyFileOf(chain.repository, '.vbk'),
    increment: () => onlyFileOf(chain.repository, '.vib'),
    backupArgs: (...more) => backupArgs(chain.repository, chain.image, ...COMMON, ...more),
    restoreArgs: (...more) =>
      ['restore'].concat(
        more.includes('--output') ? [] : ['--output', temp.path('out')],
        COMMON,
        '--repo',
        chain.repository,
        '--vm',
        VM,
        more,
      ),
    expectFirstPointKept: () =>
      expectRestored(chain.repository, { a: FIRST }, { point: chain.firstPoint }),
  };
  beforeEach(async () => {
    chain.repository = temp.path('repo');
    chain.image = writeImage(temp.path('a'), FIRST);
    chain.firstPoint = (await backup(chain.repository, chain.image)).pointId;
    await backup(chain.repository, writeImage(chain.image, SECOND));
  });
  return chain;
}
