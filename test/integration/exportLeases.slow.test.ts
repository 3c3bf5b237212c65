/** Leases of the command `export`, beside sessions that work on the same VM. */
import { mkdirSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { type CliResult, expectFailure, runCli } from '../helpers/cli/cli.ts';
import {
  copyOf,
  expectBytes,
  type ExportCommand,
  startExport,
} from '../helpers/nbd/exportCommand.ts';
import { backup, expectClean, VM } from '../helpers/repository/imageSessions.ts';
import { leasesOf } from '../helpers/repository/leases.ts';
import { chainOf, expectPoints, type Pictured } from '../helpers/repository/prunes.ts';
import { pointsOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const TEXTS = ['AbC0', 'xbC0', 'xyC0', 'xyZ0', 'xyZW'];
let chain: Pictured;
let socketCount = 0;

beforeEach(async () => {
  chain = await chainOf(
    temp,
    TEXTS.map((text) => ({ a: blocks(text) })),
  );
});

async function serve(point: string, ...more: readonly string[]): Promise<ExportCommand> {
  const socket = temp.path(`s${socketCount++}`);
  const place = ['--repo', chain.repository, '--vm', VM, '--point', point, '--socket', socket];
  return await startExport([...place, ...more]);
}

async function cli(command: string, ...args: readonly string[]): Promise<CliResult> {
  return await runCli([command, '--repo', chain.repository, ...args]);
}

async function expectServed(server: ExportCommand, at: number): Promise<void> {
  const content = await copyOf(server.uris[0] ?? '', temp.path('copied'));
  expectBytes(content, blocks(TEXTS[at] ?? ''));
}

describe('a point that is served', () => {
  it('stays with all it needs while others go, whatever the rules are', async () => {
    const server = await serve('3');

    const pruned = await cli('prune', '--keep-last', '1');
    const again = await cli('prune', '--keep-last', '1');

    expect(pruned.exitCode).toBe(EXIT_CODES.done);
    expect(pruned.stderr).toContain(`pid ${server.child.pid} `);
    expect(again.stderr).toMatch(/^warn: REPO-515 /m);
    await expectServed(server, 2);
    await expectPoints(chain, [0, 1, 2, 4]);
    await server.stop();
    expect(await cli('prune', '--keep-last', '1')).toMatchObject({ exitCode: 0, stderr: '' });
    await expectPoints(chain, [4]);
  });

  it('stays while any of several servers is there, also after another one was killed', async () => {
    const [one, two] = [await serve('2'), await serve('2', '--writable', temp.path('o'))];
    one.child.kill('SIGKILL');
    await one.ended;

    const pruned = await cli('prune', '--keep-last', '1');
    expect(pruned.stderr.match(/REPO-515/g)).toHaveLength(1);
    expect(pruned.stderr).toContain(`pid ${two.child.pid} `);
    expect(pruned.stderr).not.toContain(`pid ${one.child.pid} `);
    await expectServed(two, 1);
    expect(leasesOf(chain.repository)).toHaveLength(1);
    await two.stop();
    await cli('prune', '--keep-last', '1');
    await expectPoints(chain, [4]);
  });

  it('is read on while sessions add points, and may be the parent of their increments', async () => {
    const server = await serve('latest');
    const image = writeImage(temp.path('a'), blocks('0yZW'));
    const report = await cli('backup', '--image', image, '--name', VM);
    const full = await cli('backup', '--image', image, '--name', VM, '--mode', 'full');

    expect([report.exitCode, full.exitCode]).toEqual([EXIT_CODES.done, EXIT_CODES.done]);
    await expectServed(server, 4);
    const pruned = await cli('prune', '--keep-last', '1');
    expect(pruned.exitCode).toBe(EXIT_CODES.done);
    await expectServed(server, 4);
    expect(pointsOf(chain.repository).map(({ pointId }) => pointId)).toContain(chain.pointIds[4]);
    const served = await serve('latest');
    const content = await copyOf(served.uris[0] ?? '', temp.path('copied'));
    expectBytes(content, blocks('0yZW'));
    await served.stop();
    await server.stop();
    await expectClean(chain.repository);
  });

  it('refuses a synthetic full of it, takes one when an older point is served', async () => {
    const newest = await serve('latest');
    expectFailure(
      await cli('synthesize', '--vm', VM),
      'REPOSITORY_LOCKED',
      EXIT_CODES.repositoryLocked,
    );
    await newest.stop();
    const older = await serve('2');
    expect(await cli('synthesize', '--vm', VM)).toMatchObject({ exitCode: EXIT_CODES.done });
    await expectServed(older, 1);
    await older.stop();
    await expectPoints(chain, [0, 1, 2, 3, 4]);
  });

  it('is verified and listed, and restored by other commands at the same time', async () => {
    const server = await serve('3');
    const verified = await cli('verify', '--point', 'all');
    const listed = await cli('list', '--vm', VM);

    expect(verified.exitCode).toBe(EXIT_CODES.done);
    expect(listed.stdout).toContain(`pid ${server.child.pid} `);
    expect(await cli('rescan')).toMatchObject({ exitCode: EXIT_CODES.done });
    await expectServed(server, 2);
    expect(leasesOf(chain.repository)).toHaveLength(1);
    await server.stop();
    await expectPoints(chain, [0, 1, 2, 3, 4]);
  });
});

describe('a lease', () => {
  it('ends with each regular end of its export: SIGINT, SIGTERM and SIGHUP', async () => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      const server = await serve('2');
      expect(leasesOf(chain.repository)).toHaveLength(1);
      server.child.kill(signal);
      await server.ended;
      expect(leasesOf(chain.repository), signal).toEqual([]);
    }
  });

  it('is not left by an export that fails: taken sockets, overlays in the repository', async () => {
    mkdirSync(temp.path('taken'));
    const place = ['--repo', chain.repository, '--vm', VM];
    const inside = `${chain.repository}/overlay`;
    for (const more of [
      ['--socket', temp.path('taken')],
      ['--socket', temp.path('x'), '--writable', inside],
      ['--socket', temp.path('x'), '--writable', '/proc/nowhere'],
      ['--socket', temp.path('x'), '--disk', 'a', '--disk', 'nothing'],
    ]) {
      const result = await runCli(['export', ...place, ...more]);
      expect(result.exitCode).not.toBe(EXIT_CODES.done);
      expect(result.stderr).toMatch(/^error: .* hint: /m);
    }
    expect(leasesOf(chain.repository)).toEqual([]);
    await backup(chain.repository, writeImage(temp.path('a'), blocks('A')));
  });
});
