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
const EXPORT = {
  title: 'nbdcopy from the export to null against restore to a file',
  optionalTopic: 'export',
};
const IMAGEIO = {
  title: 'full through imageio over TLS, 4 connections',
  optionalTopic: 'imageio',
};

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
    cpuAtMost: 2.2,
    why: 'a full with its start takes much more CPU time; look at the start, too',
  },
  {
    title: 'compare against cat',
    atLeast: 0.08,
    why: 'a comparison has become much slower; look at fingerprintRange and the start',
  },
  { title: RESTORE, atLeast: 0.38, why: `a restore has become much slower; ${STAGES}` },
  { title: RESTORE, cpuAtMost: 2.2, why: `a restore takes much more CPU time; ${STAGES}` },
  { title: VERIFY, atLeast: 0.38, why: `a verify has become much slower; ${STAGES}` },
  { title: VERIFY, cpuAtMost: 2.85, why: `a verify takes much more CPU time; ${STAGES}` },
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
];
