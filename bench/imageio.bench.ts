/**
 * A full through the real imageio over TLS, against a copy to a raw file by imageio's own client.
 */
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { restoreImages } from '../src/index.ts';
import { generateKeyFile } from '../src/store/seal/keyFile.ts';
import { callOnce } from './childProcess.ts';
import { findVenv, ImageioRig } from './imageioRig.ts';
import { digestFile, isInstalled, removeAll } from './programs.ts';
import type { SessionAnswer, SessionArgument } from './sessionWork.ts';
import { median } from './statistics.ts';
import type { Bench, BenchCase, Outcome, Table, Topic } from './suite.ts';

const SCRIPT = fileURLToPath(new URL('../../bench/imageioClient.py', import.meta.url));
const CONNECTIONS = 4;
const run = promisify(execFile);

/** @param answers - receives the answer of each session */
function sessionCase(bench: Bench, rig: ImageioRig, answers: SessionAnswer[]): BenchCase {
  const repository = path.join(bench.folder, 'imageio');
  const namesFile = path.join(bench.folder, 'imageio.threads');
  const given: SessionArgument = {
    engine: rig.settings,
    vm: rig.vm.id,
    repository,
    workers: bench.workers,
    connections: CONNECTIONS,
  };
  return {
    name: 'ovirt-cbt session, first extent to commit',
    run: async () => {
      const watch = rig.watchServers();
      const call = await callOnce('./sessionWork.js', 'session', given, namesFile);
      const { value, ...usage } = call;
      const serverCpuSeconds = watch.stop();
      const answer = value as SessionAnswer;
      answers.push(answer);
      const { checksum, seconds } = answer;
      return { ...usage, checksum, seconds, serverCpuSeconds };
    },
    prove: async () => {
      const output = path.join(bench.folder, 'imageio.proof');
      await restoreImages({ repository, vm: rig.vm.id, output, workers: bench.workers });
      const digest = await digestFile(path.join(output, readdirSync(output)[0] ?? ''));
      await removeAll(output);
      return digest;
    },
    reset: async () => {
      await removeAll(repository, namesFile);
      await rig.removeCopies();
    },
  };
}

/** Whole sessions. The key file holds a generated key, which needs no scrypt. */
function wholeCase(bench: Bench, rig: ImageioRig, name: string, keyFile?: string): BenchCase {
  const repository = path.join(bench.folder, `imageio-${name}`);
  const vm = rig.vm.id;
  const { workers } = bench;
  const given = {
    engine: rig.settings,
    vm,
    repository,
    workers,
    connections: CONNECTIONS,
    keyFile,
  };
  return {
    name: `ovirt-cbt session, ${name} repository`,
    run: async () => {
      const { value, ...usage } = await callOnce('./sessionWork.js', 'session', given);
      const { checksum, sessionSeconds } = value as SessionAnswer;
      return { ...usage, checksum, seconds: sessionSeconds };
    },
    prove: async () => {
      const output = path.join(bench.folder, `imageio-${name}.proof`);
      await restoreImages({ repository, store: { keyFile }, vm, output, workers });
      const digest = await digestFile(path.join(output, readdirSync(output)[0] ?? ''));
      await removeAll(output);
      return digest;
    },
    reset: async () => {
      await removeAll(repository);
      await rig.removeCopies();
    },
  };
}

async function compareSealed(bench: Bench, rig: ImageioRig): Promise<void> {
  const keyFile = path.join(bench.folder, 'imageio.key');
  await writeFile(keyFile, generateKeyFile(), { mode: 0o600 });
  await bench.compare({
    title: 'full through imageio over TLS, sealed against open',
    ours: wholeCase(bench, rig, 'sealed', keyFile),
    peer: wholeCase(bench, rig, 'open'),
    readBytes: bench.imageBytes,
    dataBytes: rig.dataBytes,
    pairs: bench.pairsOf(9, 2),
  });
}

function clientCase(bench: Bench, rig: ImageioRig): BenchCase {
  const output = path.join(bench.folder, 'imageio.raw');
  const python = path.join(rig.venv, 'bin', 'python');
  return {
    name: "imageio's client.download() to a raw file",
    run: async (): Promise<Outcome> => {
      const ticket = await rig.openTicket();
      const watch = rig.watchServers();
      const args = [SCRIPT, ticket.url, rig.caFile, output, String(CONNECTIONS)];
      const { stdout } = await run(python, args);
      const serverCpuSeconds = watch.stop();
      await ticket.close();
      const figures = JSON.parse(stdout) as Omit<Outcome, 'checksum'>;
      return { ...figures, serverCpuSeconds, checksum: String((await stat(output)).size) };
    },
    prove: () => digestFile(output),
    reset: () => removeAll(output),
  };
}

/** Medians over the sessions. A group counts where a session had it. */
function threadTable(answers: readonly SessionAnswer[]): Table {
  const groups = answers.flatMap(({ threads }) => threads);
  const names = [...new Set(groups.map(({ name }) => name))];
  return {
    title: 'Threads of our client (median; the share sums the threads of a group)',
    header: ['threads', 'number', 'busy share of the wall time'],
    rows: names.map((name) => {
      const own = groups.filter((group) => group.name === name);
      const share = median(own.map(({ busyShare }) => busyShare));
      const number = median(own.map(({ threads }) => threads));
      return [name, String(number), `${(share * 100).toFixed(0)} %`];
    }),
  };
}

async function compareClients(bench: Bench, rig: ImageioRig): Promise<void> {
  const answers: SessionAnswer[] = [];
  const ours = sessionCase(bench, rig, answers);
  const peer = clientCase(bench, rig);
  const { imageBytes: readBytes } = bench;
  const title = `full through imageio over TLS, ${CONNECTIONS} connections`;
  const pairs = bench.pairsOf(7, 3);
  const { dataBytes } = rig;
  const result = await bench.compare({ title, ours, peer, readBytes, dataBytes, pairs });
  const measured = pairs === 0 ? answers : answers.slice(1);
  const whole = median(measured.map(({ sessionSeconds }) => sessionSeconds));
  bench.table({
    title: 'The whole session against the transfer in it (median s)',
    header: ['whole session', 'first extent to commit', "imageio's client"],
    rows: [[whole, result.ours.seconds, result.peer.seconds].map((seconds) => seconds.toFixed(2))],
  });
  bench.table(threadTable(measured));
}

async function runTopic(bench: Bench): Promise<void> {
  const venv = findVenv();
  if (venv === undefined || !isInstalled('qemu-nbd')) {
    const missing =
      venv === undefined ? 'ovirt-imageio in .venv (npm run test:interop)' : 'qemu-nbd';
    bench.leaveOut(`imageio over TLS: ${missing} is missing`);
    return;
  }
  const rig = await ImageioRig.start(venv, path.join(bench.folder, 'rig'), bench.image);
  try {
    await compareClients(bench, rig);
    await compareSealed(bench, rig);
  } finally {
    await rig.close();
  }
}

export const imageio: Topic = { name: 'imageio', run: runTopic };
