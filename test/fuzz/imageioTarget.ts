/** The imageio client against a server that answers the exact bytes of the fuzzer. */
import { createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { rmSync } from 'node:fs';
import { BackupError } from '../../src/core/errors.ts';
import { ImageioClient } from '../../src/ovirt/imageio/imageioClient.ts';
import { scaleTimings } from '../../src/ovirt/timings.ts';
import { makeFastFolder } from '../helpers/folders.ts';
import type { Random } from '../helpers/bytes/random.ts';
import { mutateBytes, mutateJson, pick } from './mutate.ts';
import { IMAGE_ANSWERS } from './samples.ts';
import type { FuzzTarget } from './target.ts';

const HEAD_END = '\r\n\r\n';
const READ_BYTES = 4096;
const TIMINGS = {
  ...scaleTimings(0.001),
  connectMs: 1000,
  imageioReadMs: 200,
  imageioExtentsMs: 200,
};
/** A missing answer costs its timeout, so it is chosen rarely. */
const GOOD_OPTIONS = IMAGE_ANSWERS[0] ?? '';

/**
 * Changes status line and headers as text, and the body as JSON. Usually the length still fits the
 * body.
 */
function mutateAnswer(random: Random, input: Buffer): Buffer {
  const text = input.toString('latin1');
  const at = text.indexOf(HEAD_END);
  if (at < 0 || random.below(4) === 0) return mutateBytes(random, input);
  const head = text.slice(0, at);
  const body = mutateJson(random, Buffer.from(text.slice(at + HEAD_END.length), 'latin1'));
  const fixed = head.replace(/Content-Length: \d+/, `Content-Length: ${body.length}`);
  return Buffer.concat([Buffer.from(`${pick(random, [fixed, fixed, head])}${HEAD_END}`), body]);
}

class FuzzServer {
  readonly folder = makeFastFolder('fuzz');
  readonly socketPath = path.join(this.folder, 's');
  readonly #server: Server;
  /** Answers in the order of the requests. The last answer is repeated. */
  #answers: Buffer[] = [];

  constructor() {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.socketPath, resolve));
  }

  answer(...answers: Buffer[]): void {
    this.#answers = answers;
  }

  async close(): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.folder, { recursive: true, force: true });
  }

  #serve(socket: Socket): void {
    socket.on('error', () => {});
    socket.on('data', () => {
      const [answer = Buffer.alloc(0)] = this.#answers;
      if (this.#answers.length > 1) this.#answers.shift();
      // Half an answer without an end would only cost time.
      socket.end(answer);
    });
  }
}

async function ask(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof BackupError) || error.code.startsWith('INTERNAL')) throw error;
  }
}

async function openClient(server: FuzzServer): Promise<ImageioClient> {
  return await ImageioClient.open('http://localhost/images/ticket', {
    caPem: undefined,
    timings: TIMINGS,
    connections: 4,
    direction: 'download',
    socketPath: server.socketPath,
  });
}

async function takeAnswer(server: FuzzServer, input: Buffer): Promise<void> {
  server.answer(input);
  await ask(async () => {
    await (await openClient(server)).close();
  });
  server.answer(Buffer.from(GOOD_OPTIONS), input);
  const client = await openClient(server);
  try {
    const target = Buffer.alloc(READ_BYTES);
    await ask(() => client.read([{ bytes: target }], READ_BYTES));
    await ask(() => client.extents('dirty'));
    await ask(() => client.checksum('sha256'));
    await ask(() => client.zero(0, READ_BYTES));
  } finally {
    await client.close();
  }
}

export async function imageioTarget(): Promise<FuzzTarget> {
  const server = new FuzzServer();
  await server.listen();
  return {
    name: 'imageio',
    seeds: IMAGE_ANSWERS.map((answer) => Buffer.from(answer, 'latin1')),
    mutate: mutateAnswer,
    take: async (input) => await takeAnswer(server, input),
    cost: 10,
    close: async () => await server.close(),
  };
}
