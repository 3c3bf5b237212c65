/**
 * Repositories in a bucket, and sealed ones: against a folder, open ones, and peers. The quick form
 * has no peers and restores three of the four repositories. Their bytes prove the fulls, too.
 */
import path from 'node:path';
import { FaultProxy } from '../test/helpers/s3/faultProxy.ts';
import { compareCase, fullCase, makeFull, restoreCase } from './product.ts';
import { isInstalled } from './programs.ts';
import { peerCases, STORE_PEERS, type StorePeer } from './storePeers.ts';
import {
  type PlaceName,
  type Places,
  type StorePlace,
  StoreRig,
  whyNoVersitygw,
} from './storeRig.ts';
import type { Bench, BenchCase, Comparison, PairResult, Topic } from './suite.ts';

type Cases = Readonly<Record<PlaceName, BenchCase>>;

function comparisonsOf(work: string, cases: Cases): Comparison[] {
  const { folder, s3, sealedFolder, sealedS3 } = cases;
  return [
    { title: `${work}, S3 against folder`, ours: s3, peer: folder },
    { title: `${work}, sealed against open, folder`, ours: sealedFolder, peer: folder },
    { title: `${work}, sealed against open, S3`, ours: sealedS3, peer: s3 },
  ];
}

function showRatios(bench: Bench, title: string, pairs: readonly PairResult[]): void {
  const rows = pairs.map(({ title: pair, speedRatio, interval, cpuRatio }) => {
    const [low, high] = interval;
    const wall = [1 / speedRatio, 1 / high, 1 / low].map((ratio) => ratio.toFixed(2));
    const cpu = cpuRatio && [cpuRatio.median, ...cpuRatio.interval].map((one) => one.toFixed(2));
    return [pair, ...[wall, cpu].map((of) => (of ? `${of[0]} (${of[1]} to ${of[2]})` : '-'))];
  });
  const header = ['pair', 'wall time', 'CPU time of the process'];
  bench.table({ title, header, rows });
}

function mapPlaces(rig: StoreRig, places: Places, make: (place: StorePlace) => BenchCase): Cases {
  const cases = Object.entries(places).map(([key, place]) => [
    key,
    place.env ? rig.served(make(place)) : make(place),
  ]);
  return Object.fromEntries(cases) as Cases;
}

function fullOf(bench: Bench, place: StorePlace): BenchCase {
  const name = `full, ${place.name}`;
  return fullCase(bench, { ...place, name, images: [bench.image] }, place.reset);
}

function restoreOf(bench: Bench, place: StorePlace): BenchCase {
  return restoreCase(bench, place, `restore, ${place.name}`);
}

async function compareFulls(bench: Bench, rig: StoreRig): Promise<void> {
  const { imageBytes: readBytes, imageDataBytes: dataBytes } = bench;
  const cases = mapPlaces(rig, rig.places('full'), (place) => {
    const one = fullOf(bench, place);
    return bench.isQuick ? { name: one.name, run: () => one.run(), reset: place.reset } : one;
  });
  const comparisons = comparisonsOf('full', cases);
  const rounds = bench.pairsOf(7, 2);
  const pairs = await bench.compareRounds({ comparisons, rounds, readBytes, dataBytes });
  showRatios(bench, 'Fulls, ours by the other', pairs);
}

/** The same repositories then take sessions without changes. */
async function compareRestores(bench: Bench, rig: StoreRig): Promise<void> {
  const { image, imageBytes: readBytes, imageDataBytes: dataBytes } = bench;
  const places = rig.places('restore');
  for (const place of Object.values(places)) makeFull(bench, { ...place, images: [image] });
  const cases = mapPlaces(rig, places, (place) => restoreOf(bench, place));
  const comparisons = comparisonsOf('restore', cases).filter(
    ({ ours }) => !(bench.isQuick && ours === cases.sealedFolder),
  );
  const rounds = bench.pairsOf(5, 2);
  const pairs = await bench.compareRounds({ comparisons, rounds, readBytes, dataBytes });
  showRatios(bench, 'Restores, ours by the other', pairs);
  await countRequests(bench, rig, [places.s3, places.sealedS3]);
  for (const place of Object.values(places)) await place.reset();
}

/** Requests of a session over an image that has not changed, by kind. */
async function countRequests(
  bench: Bench,
  rig: StoreRig,
  places: readonly StorePlace[],
): Promise<void> {
  const proxy = await FaultProxy.start(rig.server.endpoint);
  const env = { ...proxy.envFor(rig.server.env) };
  const rows: string[][] = [];
  for (const place of places) {
    proxy.arm();
    await compareCase(bench, { ...place, name: place.name, images: [bench.image], env }).run();
    const counts = Object.entries(proxy.counts()).toSorted(([a], [b]) => (a < b ? -1 : 1));
    const kinds = counts.map(([kind, count]) => `${kind} ${count}`).join(', ');
    rows.push([place.name, String(proxy.requests.length), kinds]);
  }
  await proxy.close();
  const title = 'Requests of a session that finds nothing changed, one disk';
  bench.table({ title, header: ['repository', 'requests', 'by kind'], rows });
}

/** All peers encrypt, so ours is sealed. */
async function comparePeer(bench: Bench, rig: StoreRig, peer: StorePeer): Promise<void> {
  const { image, imageBytes: readBytes, imageDataBytes: dataBytes } = bench;
  const { sealedS3: place } = rig.places(peer.name);
  const theirs = await peerCases(rig, peer, image);
  const work = { readBytes, dataBytes, rounds: bench.pairsOf(3, 0) };
  const title = `full to S3, sealed, against ${peer.name}`;
  const ours = rig.served(fullOf(bench, place));
  await bench.compareRounds({ ...work, comparisons: [{ title, ours, peer: theirs.backup }] });
  await theirs.prepare();
  makeFull(bench, { ...place, images: [image] });
  const back: Comparison = {
    title: `restore from S3, sealed, against ${peer.name}`,
    ours: rig.served(restoreOf(bench, place)),
    peer: theirs.restore,
  };
  await bench.compareRounds({ ...work, comparisons: [back] });
  await place.reset();
}

async function comparePeers(bench: Bench, rig: StoreRig): Promise<void> {
  for (const peer of STORE_PEERS) {
    if (isInstalled(peer.program)) await comparePeer(bench, rig, peer);
    else bench.leaveOut(`${peer.name}: not installed (${peer.source})`);
  }
}

async function run(bench: Bench): Promise<void> {
  const reason = whyNoVersitygw();
  if (reason !== undefined) return bench.leaveOut(reason);
  const rig = await StoreRig.start(path.join(bench.folder, 'store'));
  try {
    await compareFulls(bench, rig);
    await compareRestores(bench, rig);
    if (!bench.isQuick) await comparePeers(bench, rig);
  } finally {
    await rig.close();
  }
}

export const store: Topic = { name: 'store', run };
