/** The command line on repositories in S3: the commands of a day, and errors with their hints. */
import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../../src/core/errors.ts';
import type { ListReport } from '../../../src/sessions/inspect/listRepository.ts';
import { blocks, sha256, writeImage } from '../../helpers/bytes/images.ts';
import { backupArgs, type CliResult, expectFailure, runCli } from '../../helpers/cli/cli.ts';
import { writeKeyFile } from '../../helpers/keyFile.ts';
import { digestsIn, VM } from '../../helpers/repository/imageSessions.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const [FIRST, SECOND, THIRD] = ['Aa0', 'Ba0', 'BCx'].map((letters) => blocks(letters)) as [
  Buffer,
  Buffer,
  Buffer,
];

const temp = useTempFolder();
const s3 = useS3();
let keyFile = '';
beforeEach(() => {
  keyFile = temp.path('key');
  writeKeyFile(keyFile);
});

async function run(command: string, ...args: readonly string[]): Promise<CliResult> {
  return await runCli([command, '--repo', s3.repository, ...args]);
}

async function backUp(image: Buffer, ...more: readonly string[]): Promise<CliResult> {
  const file = writeImage(temp.path('image'), image);
  return await runCli(backupArgs(s3.repository, file, '--workers', '0', ...more));
}

async function pointIds(...more: readonly string[]): Promise<string[]> {
  const { stdout } = await run('list', '--json', ...more);
  const { vms } = JSON.parse(stdout) as ListReport;
  return vms.flatMap(({ points }) => points.map(({ pointId }) => pointId));
}

describe.each([
  ['open', (): string[] => []],
  ['sealed', (): string[] => ['--key-file', keyFile]],
])('an %s repository', (_kind, keyArgs) => {
  it('is used by backup, list, verify, prune and restore', async () => {
    for (const image of [FIRST, SECOND, THIRD]) {
      const { exitCode, stdout, stderr } = await backUp(image, ...keyArgs());
      expect(exitCode, stderr).toBe(0);
      expect(stdout + stderr).not.toContain(s3.env.AWS_SECRET_ACCESS_KEY);
    }
    const ids = await pointIds(...keyArgs());
    expect(ids).toHaveLength(3);
    expect((await run('verify', '--point', 'all', ...keyArgs())).exitCode).toBe(0);

    const prune = await run('prune', '--keep-last', '2', '--workers', '0', ...keyArgs());

    expect(prune.exitCode, prune.stderr).toBe(0);
    expect(await pointIds(...keyArgs())).toEqual(ids.slice(1));
    for (const [at, image] of [SECOND, THIRD].entries()) {
      const output = temp.path(`restored-${at}`);
      const point = ids[at + 1] ?? '';
      const args = ['--vm', VM, '--point', point, '--output', output, '--workers', '0'];
      const { exitCode, stderr } = await run('restore', ...args, ...keyArgs());
      expect(exitCode, stderr).toBe(0);
      expect(digestsIn(output)).toEqual({ image: sha256(image) });
    }
    await s3.expectNoStrays();
  });
});

it('takes the key file from the environment', async () => {
  await backUp(FIRST, '--key-file', keyFile);

  const listed = await runCli(['list', '--repo', s3.repository, '--json'], {
    OVIRT_CBT_KEY_FILE: keyFile,
  });

  expect(listed.exitCode, listed.stderr).toBe(0);
  expect(listed.stdout).toContain('"pointId"');
  expectFailure(await run('list'), 'REPOSITORY_KEY_MISSING', EXIT_CODES.authRefused);
});

describe('a failed request', () => {
  it('to a bucket that is missing names it', async () => {
    const result = await runCli(['list', '--repo', 's3://no-such-bucket/prefix']);

    expectFailure(result, 'REPOSITORY_NOT_FOUND', EXIT_CODES.repositoryNotFound);
    expect(result.stderr).toContain('no-such-bucket');
  });

  it('with a token that ran out is refused, without the secret', async () => {
    await backUp(FIRST);
    s3.proxy.arm(() => 'expiredToken');

    const result = await run('list');

    expectFailure(result, 'REPOSITORY_REFUSED', EXIT_CODES.authRefused);
    expect(result.stderr).not.toContain(s3.env.AWS_SECRET_ACCESS_KEY);
  });

  it('with a wrong clock says so', async () => {
    await backUp(FIRST);
    s3.proxy.arm(() => 'clockSkew');

    const result = await run('list');

    expect(result.stderr).toContain('REPOSITORY_CLOCK');
    expect(result.exitCode).not.toBe(0);
  });
});

describe('bytes of a container that change on their way', () => {
  it.each(['flip', 'truncate', 'shorten'] as const)('(%s) never reach a restore', async (fault) => {
    await backUp(FIRST);
    let struck = 0;
    s3.proxy.arm(({ kind, key }) => {
      if (kind !== 'GetObject' || !key.endsWith('.vbk')) return undefined;
      // A request that is made again succeeds.
      return ++struck % 2 === 1 ? fault : undefined;
    });
    const output = temp.path('restored');

    const result = await run('restore', '--vm', VM, '--output', output, '--workers', '0');

    expect(struck).toBeGreaterThan(0);
    // Either it was read again, or the command failed.
    if (result.exitCode === 0) expect(digestsIn(output)).toEqual({ image: sha256(FIRST) });
    else expect(result.stderr).toMatch(/\((INTEGRITY|REPOSITORY)_[A-Z_]+\)/);
  });
});
