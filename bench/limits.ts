/**
 * What the gate allows. The limits leave room for other load on the machine: they fail when
 * something has broken, not when it became a few percent slower. Load changes CPU time least, so
 * its limits are the closest ones. There is none against `cat`, whose CPU time is a few clock
 * ticks.
 */
import type { Limit } from './judge.ts';

const STAGES = 'look at the stages (npm run bench -- --only stages)';
const STREAMS = 'streams against bare loop';
const WARM_FULL = 'full without start-up against lz4 -1';
const FULL = 'full against lz4 -1';
const RESTORE = 'restore against lz4 -d';
const VERIFY = 'verify against lz4 -t';
const WARM_RESTORE = 'restore without start-up against lz4 -d';
const WARM_VERIFY = 'verify without start-up against lz4 -t';
const EXPORT = {
  title: 'nbdcopy from the export to null against restore to a file',
  optionalTopic: 'export',
};
const IMAGEIO = {
  title: 'full through imageio over TLS, 4 connections',
  optionalTopic: 'imageio',
};
const SEALED_IMAGEIO = {
  title: 'full through imageio over TLS, sealed against open',
  optionalTopic: 'imageio',
};

const STORE = { optionalTopic: 'store' };
const S3_FULL = { ...STORE, title: 'full, S3 against folder' };
const SEALED_FULL = { ...STORE, title: 'full, sealed against open, folder' };
const SEALED_S3_FULL = { ...STORE, title: 'full, sealed against open, S3' };
const S3_RESTORE = { ...STORE, title: 'restore, S3 against folder' };
const SEALED_RESTORE = { ...STORE, title: 'restore, sealed against open, S3' };

export const LIMITS: readonly Limit[] = [
  {
    title: STREAMS,
    atLeast: 0.85,
    why: 'the streams cost more than they may; profile the stages (npm run bench -- --only ceiling)',
  },
  {
    title: STREAMS,
    cpuAtMost: 1.3,
    why: 'the streams take too much CPU time; profile them (npm run bench -- --only ceiling)',
  },
  {
    title: WARM_FULL,
    atLeast: 0.6,
    why: `a full has become much slower than LZ4 alone; ${STAGES}`,
  },
  {
    title: WARM_FULL,
    cpuAtMost: 1.85,
    why: `a full takes much more CPU time than LZ4 alone; ${STAGES}`,
  },
  {
    title: FULL,
    atLeast: 0.45,
    why: 'a full with its start has become much slower; look at the start, too',
  },
  {
    title: FULL,
    cpuAtMost: 2.9,
    why: 'a full with its start takes much more CPU time; look at the start, too',
  },
  {
    title: 'compare against cat',
    atLeast: 0.08,
    why: 'a comparison has become much slower; look at fingerprintRange and the start',
  },
  { title: WARM_RESTORE, atLeast: 0.55, why: `a restore has become much slower; ${STAGES}` },
  { title: WARM_RESTORE, cpuAtMost: 2.4, why: `a restore takes much more CPU time; ${STAGES}` },
  { title: WARM_VERIFY, atLeast: 0.55, why: `a verify has become much slower; ${STAGES}` },
  { title: WARM_VERIFY, cpuAtMost: 2.7, why: `a verify takes much more CPU time; ${STAGES}` },
  // The start is most of these two on the small image, and its share depends on the processor.
  {
    title: RESTORE,
    cpuAtMost: 3.6,
    why: 'a restore with its start takes much more CPU time; look at the start, too',
  },
  {
    title: VERIFY,
    cpuAtMost: 5.5,
    why: 'a verify with its start takes much more CPU time; look at the start, too',
  },
  {
    ...EXPORT,
    atLeast: 0.45,
    why: 'reads of an export have become much slower; look at the cache of blocks and at expand',
  },
  {
    ...EXPORT,
    cpuAtMost: 1.8,
    why: 'reads of an export take much more CPU time; look at copies of blocks and at the collector',
  },
  {
    ...IMAGEIO,
    atLeast: 0.45,
    why: 'a full over TLS has become much slower; look at the threads (npm run bench -- --only imageio)',
  },
  {
    ...IMAGEIO,
    cpuAtMost: 3.7,
    why: 'a full over TLS takes much more CPU time; look at the threads (npm run bench -- --only imageio)',
  },
  {
    ...SEALED_IMAGEIO,
    atLeast: 0.65,
    why: 'sealing slows down the full of a VM; profile the thread that seals, and the main thread',
  },
  {
    ...SEALED_IMAGEIO,
    cpuAtMost: 1.6,
    why: 'sealing the full of a VM takes much more CPU time; look at chunks and buffers',
  },
  {
    ...S3_FULL,
    atLeast: 0.25,
    why: 'uploads have become much slower; look at parts in flight and at their checksums',
  },
  {
    ...S3_FULL,
    cpuAtMost: 2.1,
    why: 'uploads take much more CPU time; look at copies of parts and at their checksums',
  },
  {
    ...SEALED_FULL,
    atLeast: 0.45,
    why: 'sealing has become much slower; profile the thread that seals, and the main thread',
  },
  {
    ...SEALED_FULL,
    cpuAtMost: 2.1,
    why: 'sealing takes much more CPU time; look at chunks, buffers and the collector',
  },
  {
    ...SEALED_S3_FULL,
    atLeast: 0.45,
    why: 'sealed uploads have become much slower; profile the thread that seals',
  },
  {
    ...SEALED_S3_FULL,
    cpuAtMost: 1.9,
    why: 'sealed uploads take much more CPU time; look at chunks, buffers and the collector',
  },
  {
    ...S3_RESTORE,
    atLeast: 0.2,
    why: 'reads from S3 have become much slower; look at the windows that are read ahead',
  },
  {
    ...S3_RESTORE,
    cpuAtMost: 2.5,
    why: 'reads from S3 take much more CPU time; look at copies of windows',
  },
  {
    ...SEALED_RESTORE,
    atLeast: 0.25,
    why: 'opening of chunks has become much slower; profile the main thread, it opens them',
  },
  {
    ...SEALED_RESTORE,
    cpuAtMost: 2.3,
    why: 'opening of chunks takes much more CPU time; look at buffers and the collector',
  },
];
