/** Fuzz targets that read texts: summaries, journals, locks, leases, answers of servers. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { BackupError } from '../../src/core/errors.ts';
import { faultDetail, parseJson } from '../../src/ovirt/engine/engineAnswers.ts';
import { parseExtents } from '../../src/ovirt/imageio/extentParser.ts';
import { classifyFault } from '../../src/ovirt/engine/faults.ts';
import { decode, type Decoder, wire } from '../../src/ovirt/engine/decoders.ts';
import { ChainLock } from '../../src/store/folder/chainLock.ts';
import { leftBackupJournal, restoreJournals } from '../../src/repository/journal.ts';
import { keptMessage, sweepLeases } from '../../src/repository/lease/leases.ts';
import { decodeSummary, encodeSummary } from '../../src/repository/pointXml.ts';
import { Repository } from '../../src/repository/repository.ts';
import type { RestorePoint } from '../../src/repository/restorePoint.ts';
import { withoutDisks } from '../../src/sessions/restore/restoreOvf.ts';
import { makeFastFolder } from '../helpers/folders.ts';
import type { Random } from '../helpers/bytes/random.ts';
import { ANSWERS, EXTENTS, JOURNAL, LEASE, LOCK, OVF } from './samples.ts';
import { mutateBytes, mutateJson, mutateLines, mutateXml, pick } from './mutate.ts';
import type { FuzzTarget } from './target.ts';
import { DiskFolder } from '../../src/store/folder/diskFolder.ts';

const POINT: RestorePoint = {
  pointId: '00000000-0000-4000-8000-000000000001',
  number: 1,
  type: 'full',
  chainId: '00000000-0000-4000-8000-000000000001',
  parentPointId: '',
  fileName: 'vm.D2026-11-22T000000_0000.vbk',
  createdAt: '2026-11-22T00:00:00.000Z',
  checkpointId: '',
  blockSizeBytes: 1_048_576,
  fileBytes: 0,
  disks: [
    {
      diskId: '00000000-0000-4000-8000-00000000000d',
      alias: 'disk',
      sizeBytes: 10_000_000,
      content: 'full',
      mode: 'full',
      reason: 'first restore point',
      readBytes: 10_000_000,
      changedBytes: 1_048_576,
      storedBytes: 500_000,
      format: 'cow',
      interface: 'virtio_scsi',
      bootable: true,
    },
  ],
};

function summaryTarget(): FuzzTarget {
  const xml = encodeSummary({ id: '00000000-0000-4000-8000-00000000000a', name: 'vm' }, POINT);
  return {
    name: 'summary',
    seeds: [Buffer.from(xml)],
    mutate: mutateXml,
    take: async (input) => decodeSummary(input.toString('utf8'), 'fuzz'),
  };
}

function ovfTarget(): FuzzTarget {
  return {
    name: 'ovf',
    seeds: [Buffer.from(OVF)],
    mutate: mutateXml,
    take: async (input) => withoutDisks(input.toString('utf8')),
  };
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/**
 * Decodes an answer as every kind of answer, because an engine can answer anything to any request.
 */
async function takeAnswer(input: Buffer): Promise<void> {
  const text = input.toString('utf8');
  classifyFault(400, faultDetail(text));
  const data = parseJson(text, 'fuzz');
  for (const [kind, decoder] of Object.entries(wire)) {
    try {
      decode(decoder as Decoder<unknown>, data, kind);
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
    }
  }
}

function engineTarget(): FuzzTarget {
  return { name: 'engine', seeds: ANSWERS.map(json), mutate: mutateJson, take: takeAnswer };
}

/** The list of extents arrives in pieces of random length. */
async function takeExtents(input: Buffer): Promise<void> {
  const pieceBytes = 1 + (input.length % 97);
  async function* pieces(): AsyncGenerator<Buffer> {
    for (let at = 0; at < input.length; at += pieceBytes) yield input.subarray(at, at + pieceBytes);
  }
  for (const context of ['zero', 'dirty'] as const) {
    try {
      const list = await parseExtents(pieces(), context);
      let endBytes = 0;
      for (const { offsetBytes, lengthBytes } of list) {
        if (offsetBytes !== endBytes || !(lengthBytes > 0)) throw new Error('a gap was accepted');
        endBytes += lengthBytes;
      }
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
    }
  }
}

function mutateExtents(random: Random, input: Buffer): Buffer {
  return pick(random, [mutateJson, mutateBytes])(random, input);
}

function extentsTarget(): FuzzTarget {
  return { name: 'extents', seeds: EXTENTS.map(json), mutate: mutateExtents, take: takeExtents };
}

/** Files that a session finds in the folder of a VM. */
function folderTargets(): FuzzTarget[] {
  const folder = makeFastFolder('fuzz');
  const put = (name: string, input: Buffer): string => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    writeFileSync(path.join(folder, name), input);
    return folder;
  };
  const close = async (): Promise<void> => rmSync(folder, { recursive: true, force: true });
  return [
    {
      name: 'journal',
      seeds: [Buffer.from(JOURNAL.map((entry) => `${JSON.stringify(entry)}\n`).join(''))],
      mutate: mutateLines,
      async take(input) {
        await leftBackupJournal(new DiskFolder(put('journal.ndjson', input)));
        await restoreJournals(new DiskFolder(put(`restore.${POINT.pointId}.ndjson`, input)));
      },
      cost: 2,
      close,
    },
    {
      name: 'lock',
      seeds: [json(LOCK)],
      mutate: mutateJson,
      async take(input) {
        await (await ChainLock.acquire(put('lock', input))).release();
      },
      cost: 2,
      close,
    },
    {
      name: 'lease',
      seeds: [json(LEASE)],
      mutate: mutateJson,
      async take(input) {
        const leases = await sweepLeases(new DiskFolder(put('lease.x.json', input)));
        for (const { text } of leases.map(keptMessage)) {
          if (/\p{Cc}/u.test(text)) throw new Error('a control character was accepted');
        }
      },
      cost: 2,
      close,
    },
    {
      name: 'marker',
      seeds: [json({ format: 'ovirt-cbt/1', id: POINT.pointId })],
      mutate: mutateJson,
      take: async (input) => await Repository.openOrCreate(put('ovirt-cbt.json', input)),
      cost: 2,
      close,
    },
  ];
}

export function textTargets(): FuzzTarget[] {
  return [summaryTarget(), ovfTarget(), engineTarget(), extentsTarget(), ...folderTargets()];
}
