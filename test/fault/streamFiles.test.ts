/** Files of a stream on a volume that becomes full at any operation: nothing is left. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  ndjsonFileStream,
  rawFileStream,
  type StreamHead,
  type StreamSink,
} from '../../src/sessions/pipe/streamSinks.ts';
import { FaultyFiles } from '../helpers/faults/faultyFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const BYTES = 4096;
const HEAD: StreamHead = {
  diskId: 'id',
  alias: 'sys',
  virtualSizeBytes: 2 * BYTES,
  mode: 'full',
  reason: 'no checkpoint given',
};
const RECORD = { diskId: 'id', offsetBytes: 0, lengthBytes: BYTES } as const;
const BLOCK = { kind: 'block', codec: 'plain', bytes: Buffer.alloc(BYTES, 7), ...RECORD } as const;

const folder = useTempFolder();

const OPEN = {
  raw: async (target: string) => await rawFileStream(target, 2 * BYTES),
  ndjson: async (target: string) => await ndjsonFileStream(target, HEAD),
};

async function writeAll(open: () => Promise<StreamSink>): Promise<boolean> {
  let sink: StreamSink | undefined;
  try {
    sink = await open();
    await sink.block(BLOCK);
    await sink.zero({ kind: 'zero', ...RECORD, offsetBytes: BYTES });
    await sink.finish('checkpoint');
    return true;
  } catch {
    await sink?.abandon();
    return false;
  }
}

describe('a volume that becomes full', () => {
  it.each(['raw', 'ndjson'] as const)('leaves no file of a stream (%s)', async (format) => {
    const files = await FaultyFiles.install(folder.path());
    const ends: boolean[] = [];
    try {
      for (let nth = 1; !ends.at(-1); nth++) {
        const place = folder.path(String(nth));
        mkdirSync(place);
        files.arm({ fault: 'ENOSPC', nth });
        ends.push(await writeAll(() => OPEN[format](`${place}/sys`)));
        files.disarm();
        const whole = format === 'raw' ? ['sys'] : ['sys', 'sys.data'];
        expect(readdirSync(place), `operation ${nth}`).toEqual(ends.at(-1) ? whole : []);
        rmSync(place, { recursive: true });
      }
    } finally {
      files.uninstall();
    }
    expect(ends.length).toBeGreaterThan(4);
  });
});
