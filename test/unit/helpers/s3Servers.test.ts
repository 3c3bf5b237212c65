/** The S3 server of the tests: what it needs, what it makes, and that nothing of it is left. */
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { keysOf } from '../../helpers/s3/client.ts';
import { ServerProcess } from '../../helpers/s3/serverProcess.ts';
import { startMoto } from '../../helpers/s3/servers.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

it('makes buckets with versions and locks, and refuses connections after its end', async () => {
  const server = await startMoto();
  await server.createBucket('plain');
  const defaultRetention = { mode: 'GOVERNANCE', days: 1 } as const;
  await server.createBucket('locked', { objectLock: true, defaultRetention });
  await server.client.putObject({ Bucket: 'locked', Key: 'a/b', Body: 'text' });

  const { VersionId = '', ObjectLockMode } = await server.client.headObject({
    Bucket: 'locked',
    Key: 'a/b',
  });

  expect(VersionId).not.toBe('');
  expect(ObjectLockMode).toBe('GOVERNANCE');
  expect(await keysOf(server.client, 'locked')).toEqual(['a/b']);
  expect(await keysOf(server.client, 'plain')).toEqual([]);
  await server.close();
  await server.close();
  await expect(fetch(server.endpoint)).rejects.toThrow('fetch failed');
});

it('tells how to install it where it is missing', async () => {
  vi.stubEnv('MOTO_SERVER', '/nowhere/moto_server');

  await expect(startMoto()).rejects.toThrow('Run "bash test/helpers/s3/install.sh"');
});

it('tells what a program wrote that does not start, and leaves nothing', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'server-'));
  const args = ['-c', 'echo no room >&2; exit 3'];
  const server = new ServerProcess({ name: 'sample', program: '/bin/sh', args, folder });

  await expect(server.waitFor(() => undefined)).rejects.toThrow('sample does not start: no room');
  expect(existsSync(folder)).toBe(false);
});
