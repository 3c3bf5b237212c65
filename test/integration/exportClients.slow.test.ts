/** Clients that never read keep others waiting, but not for ever. Their memory is bounded. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { COMMAND } from '../../src/points/nbd/protocol.ts';
import { type OpenRepository, openRepository } from '../../src/points/openRepository.ts';
import { MIB, writeImage } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { expectBytes } from '../helpers/nbd/exportCommand.ts';
import { RawClient } from '../helpers/nbd/rawClient.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const folder = useTempFolder();
const CONTENT = noise('disk', 40 * MIB);
let repository: OpenRepository;

beforeEach(async () => {
  await backup(folder.path('repo'), writeImage(folder.path('d'), CONTENT));
  repository = await openRepository(folder.path('repo'), { workers: 0, cacheBytes: 8 * MIB });
});
afterEach(async () => {
  await repository.close();
});

async function open(): Promise<RawClient> {
  return await RawClient.open({ path: folder.path('s') }, 'd');
}

it('a client is served while most of 24 that never read are still connected', async () => {
  const point = await repository.point(VM);
  const server = await point.disk('d').serveNbd({ socket: folder.path('s') });
  const before = process.memoryUsage().rss;
  const greedy = await Promise.all(Array.from({ length: 24 }, open));
  for (const client of greedy) {
    client.reader.detach();
    client.socket.pause();
    for (let n = 0; n < 100; n++) client.send({ command: COMMAND.read, length: 20 * MIB });
  }
  const client = await open();
  const { bytes } = await client.read(MIB, 1000);

  expectBytes(bytes, CONTENT.subarray(MIB, MIB + 1000));
  // Few hold all the memory. They are broken off; then each of the others gets a little.
  expect(server.served.clients).toBeGreaterThan(12);
  expect(process.memoryUsage().rss - before).toBeLessThan(300 * MIB);
  for (const one of [...greedy, client]) one.destroy();
});
