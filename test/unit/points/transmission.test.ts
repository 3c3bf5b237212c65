import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { MIB } from '../../../src/core/units.ts';
import { ByteBudget } from '../../../src/points/nbd/byteBudget.ts';
import { COMMAND, COMMAND_FLAGS } from '../../../src/points/nbd/protocol.ts';
import { SocketReader } from '../../../src/points/nbd/socketReader.ts';
import { type ServerParts, Transmission } from '../../../src/points/nbd/transmission.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { MemoryDisk } from '../../helpers/nbd/memoryDisk.ts';
import { encodeRequest } from '../../helpers/nbd/rawClient.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const folder = useTempFolder();
const CONTENT = noise('disk', MIB);

function partsOf(replies: ByteBudget): ServerParts {
  const served = {
    clients: 0,
    clientsInAll: 0,
    requests: 0,
    bytesRead: 0,
    bytesWritten: 0,
    failures: 0,
  };
  const payloads = new ByteBudget(MIB);
  return { replies, payloads, served, underWay: new Set(), isClosing: false };
}

describe('a connection', () => {
  it('answers a small request while others hold all memory for replies', async () => {
    const replies = new ByteBudget(MIB);
    await replies.take({}, MIB);
    const server = createServer().listen(folder.path('s'));
    const client = connect(folder.path('s'));
    const [socket] = await once(server, 'connection');
    const chosen = {
      served: new MemoryDisk('disk', CONTENT),
      hasStructuredReplies: true,
      hasAllocation: true,
    };
    const reader = new SocketReader(socket);
    const options = { socket, reader, chosen, server: partsOf(replies), onFailure: () => {} };
    const running = new Transmission(options).run();
    const answers = new SocketReader(client);

    client.write(encodeRequest({ command: COMMAND.read, offset: 4096, length: 4096 }));
    const chunk = await answers.read(20 + 8 + 4096);
    const flags = COMMAND_FLAGS.reqOne;
    client.write(encodeRequest({ command: COMMAND.blockStatus, length: MIB, flags }));
    const status = await answers.read(20 + 4 + 8);

    expect(chunk.subarray(28).equals(CONTENT.subarray(4096, 8192))).toBe(true);
    expect(status.readUInt32BE(28)).toBe(0);
    client.write(encodeRequest({ command: COMMAND.disconnect }));
    await running;
    socket.destroy();
    server.close();
  });
});
