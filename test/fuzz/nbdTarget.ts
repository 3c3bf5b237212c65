/**
 * The NBD server against clients that send the bytes of the fuzzer: whole sessions whose parts were
 * changed, and raw bytes. Its replies must parse, it must end the connection, and the point must
 * stay as it is.
 */
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { NbdServer } from '../../src/points/nbd/nbdServer.ts';
import { OverlayExport, overlayBaseOf } from '../../src/points/nbd/overlayExport.ts';
import {
  COMMAND,
  COMMAND_FLAGS,
  OPTION,
  OPTION_MAGIC,
  REQUEST_MAGIC,
} from '../../src/points/nbd/protocol.ts';
import { CLUSTER_BYTES } from '../../src/points/overlay/clusterMap.ts';
import { OpenOverlay } from '../../src/points/overlay/overlayFiles.ts';
import { noise, type Random } from '../helpers/bytes/random.ts';
import { makeFastFolder } from '../helpers/folders.ts';
import { MemoryDisk } from '../helpers/nbd/memoryDisk.ts';
import { checkReplies } from '../helpers/nbd/replyCheck.ts';
import {
  encodeContext,
  encodeGo,
  encodeOption,
  encodeRequest,
  type RequestFields,
} from '../helpers/nbd/rawClient.ts';
import { interestingNumber, mutateBytes, pick } from './mutate.ts';
import type { FuzzTarget } from './target.ts';

const SIZE_BYTES = 10 * CLUSTER_BYTES + 4000;
const FLAGS = Buffer.from([0, 0, 0, 3]);
/** A server that has not ended the connection by then hangs. */
const HANG_MS = 20_000;
const OPTION_HEAD_BYTES = 16;
const REQUEST_BYTES = 28;

/** Sessions that are right. */
function sessions(): Buffer[] {
  const choose = (name: string): Buffer[] => [
    FLAGS,
    encodeOption(OPTION.list),
    encodeOption(OPTION.structuredReply),
    encodeOption(OPTION.setMetaContext, encodeContext(name, 'base:allocation')),
    encodeOption(OPTION.go, encodeGo(name)),
  ];
  const oldest = [FLAGS, encodeOption(OPTION.exportName, Buffer.from('writable'))];
  const requests = [
    ask(COMMAND.read, 0, 100),
    ask(COMMAND.write, 5, 300, COMMAND_FLAGS.fua),
    ask(COMMAND.write, CLUSTER_BYTES - 100, CLUSTER_BYTES + 200),
    ask(COMMAND.trim, CLUSTER_BYTES, 3 * CLUSTER_BYTES),
    ask(COMMAND.writeZeroes, 10, 2 * CLUSTER_BYTES, COMMAND_FLAGS.fastZero),
    ask(COMMAND.writeZeroes, SIZE_BYTES - 5000, 5000, COMMAND_FLAGS.noHole),
    ask(COMMAND.blockStatus, 0, SIZE_BYTES),
    ask(COMMAND.flush),
    ask(COMMAND.cache, 0, 4096),
    ask(COMMAND.read, 3 * CLUSTER_BYTES - 7, 5 * CLUSTER_BYTES),
    ask(COMMAND.disconnect),
  ];
  return [
    Buffer.concat([...choose('writable'), ...requests]),
    Buffer.concat([...choose('disk'), ...requests]),
    Buffer.concat([...oldest, ...requests]),
    Buffer.concat([FLAGS, encodeOption(OPTION.info, encodeGo('')), encodeOption(OPTION.abort)]),
  ];
}

function ask(command: number, offset = 0, length = 0, flags = 0): Buffer {
  return request({ command, offset, length, flags, cookie: offset + length + command });
}

/** A write gets its payload. */
function request(fields: RequestFields): Buffer {
  const payload = fields.command === COMMAND.write ? noise('payload', fields.length ?? 0) : [];
  return Buffer.concat([encodeRequest(fields), Buffer.from(payload)]);
}

/** Places of options and requests, by their magic numbers. */
function placesOf(input: Buffer): number[] {
  const magics = [Buffer.alloc(8), Buffer.alloc(4)] as const;
  magics[0].writeBigUInt64BE(OPTION_MAGIC);
  magics[1].writeUInt32BE(REQUEST_MAGIC);
  return magics.flatMap((magic) => {
    const places: number[] = [];
    for (let at = input.indexOf(magic); at >= 0; at = input.indexOf(magic, at + 1)) places.push(at);
    return places;
  });
}

/** Places and sizes of the numbers of an option, and of a request. */
type Field = readonly [number, number];
const OPTION_FIELDS: readonly Field[] = [
  [8, 4],
  [12, 4],
  [16, 4],
  [20, 4],
];
const REQUEST_FIELDS: readonly Field[] = [
  [4, 2],
  [6, 2],
  [8, 8],
  [16, 8],
  [24, 4],
];

/** Sets a number of an option or a request, drops or doubles one, or changes bytes. */
function mutateSession(random: Random, input: Buffer): Buffer {
  const places = placesOf(input).toSorted((a, b) => a - b);
  if (places.length === 0 || random.below(5) === 0) return mutateBytes(random, input);
  const which = random.below(places.length);
  const [at = 0, next = input.length] = places.slice(which, which + 2);
  const kind = random.below(6);
  if (kind === 0) return Buffer.concat([input.subarray(0, at), input.subarray(next)]);
  if (kind === 1) return Buffer.concat([input.subarray(0, next), input.subarray(at)]);
  if (kind === 2) {
    const added = request({
      command: random.below(10),
      flags: random.below(4) === 0 ? random.below(64) : 0,
      offset: random.below(2 * SIZE_BYTES),
      length: random.below(3 * CLUSTER_BYTES),
      cookie: random.below(2 ** 30),
    });
    return Buffer.concat([input.subarray(0, next), added, input.subarray(next)]);
  }
  const bytes = Buffer.from(input);
  const isRequest = bytes.readUInt32BE(at) === REQUEST_MAGIC;
  if (bytes.length < at + (isRequest ? REQUEST_BYTES : OPTION_HEAD_BYTES + 8)) return bytes;
  const [place, sizeBytes] = pick(random, isRequest ? REQUEST_FIELDS : OPTION_FIELDS);
  const value = BigInt.asUintN(8 * sizeBytes, interestingNumber(random));
  for (let k = 0; k < sizeBytes; k++) {
    bytes[at + place + k] = Number((value >> BigInt(8 * (sizeBytes - 1 - k))) & 0xffn);
  }
  return bytes;
}

/** Sends all bytes and the end. @returns what the server answered */
async function talk(socketPath: string, input: Buffer): Promise<Buffer> {
  const socket = connect({ path: socketPath, allowHalfOpen: true });
  const answers: Buffer[] = [];
  return await new Promise((resolve, reject) => {
    const hang = setTimeout(() => {
      socket.destroy();
      reject(new Error('the server does not end the connection'));
    }, HANG_MS);
    socket.on('data', (bytes: Buffer) => answers.push(bytes));
    // The server may break off while the client still sends.
    socket.on('error', () => {});
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(hang);
      resolve(Buffer.concat(answers));
    });
    socket.end(input);
  });
}

export async function nbdTarget(): Promise<FuzzTarget> {
  const folder = makeFastFolder('fuzz');
  const socketPath = path.join(folder, 's');
  const content = Buffer.concat([noise('disk', SIZE_BYTES / 2), Buffer.alloc(SIZE_BYTES / 2)]);
  const disk = new MemoryDisk('disk', Buffer.from(content));
  const base = new MemoryDisk('writable', disk.content);
  const overlay = await OpenOverlay.open(overlayBaseOf(base), {
    folder: path.join(folder, 'overlays'),
    identity: { pointId: 'point', diskId: 'disk', sizeBytes: SIZE_BYTES },
  });
  const problems: string[] = [];
  const server = await NbdServer.start({
    exports: [new OverlayExport(base, overlay.overlay, overlay.folder), disk],
    address: { socket: socketPath },
    onProblem: (text) => problems.push(text),
  });
  return {
    name: 'nbd',
    seeds: sessions(),
    mutate: mutateSession,
    take: async (input) => {
      checkReplies(input, await talk(socketPath, input));
      if (!disk.content.equals(content)) throw new Error('a client has changed the point');
      if (problems.length > 0) throw new Error(`the server had problems: ${problems.join('; ')}`);
      // Requests that are under way end without their client.
      for (let k = 0; server.served.clients > 0; k++) {
        if (k > HANG_MS) throw new Error('a client is never left');
        await wait(1);
      }
      const { failures } = server.served;
      if (failures > 0) throw new Error(`${failures} requests failed`);
    },
    cost: 4,
    close: async () => {
      await server.close();
      await overlay.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
