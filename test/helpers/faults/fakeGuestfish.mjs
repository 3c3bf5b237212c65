/**
 * A guestfish for tests. It understands the commands and the quotes that the product uses. The
 * guest is a folder. The variables that begin with FAKE_ set what it finds and how it fails.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';

const { FAKE_GUEST = '/nonexistent', FAKE_LOG, FAKE_FAULT = '', FAKE_TAR } = process.env;
const lines = (name) => (process.env[name] ?? '').split('\n').filter((line) => line !== '');
const log = (text) => fs.appendFileSync(FAKE_LOG, `${text}\n`);
const print = (text) => fs.writeSync(1, Buffer.from(text, 'latin1'));
const local = (place) => Buffer.from(path.posix.join(FAKE_GUEST, place), 'latin1');

class Complaint extends Error {}

/** Splits a line into words. Words in double quotes have escapes. */
function wordsOf(line) {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|([^\s"]+)/g)].map(([, quoted, bare]) =>
    quoted === undefined
      ? bare
      : quoted.replace(/\\x(..)/g, (_all, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
  );
}

/** Splits a list: items in single quotes, and quotes inside as in a shell. */
function itemsOf(list) {
  return [...list.matchAll(/(?:'[^']*'|\\.|[^\s'])+/g)].map(([item]) =>
    item.replace(/'([^']*)'|\\(.)/g, (_all, inner, escaped) => inner ?? escaped),
  );
}

function found(place) {
  try {
    return fs.lstatSync(local(place));
  } catch {
    throw new Complaint(`${place}: No such file or directory`);
  }
}

function structOf(stat) {
  const [ino, mode, size, seconds] = stat
    ? [stat.ino, stat.mode, stat.size, Math.floor(stat.mtimeMs / 1000)]
    : [-1, 0, 0, 0];
  return `  st_ino: ${ino}\n  st_mode: ${mode}\n  st_size: ${size}\n  st_mtime_sec: ${seconds}\n}\n`;
}

function walk(folder) {
  const names = fs.readdirSync(local(folder), { encoding: 'latin1', withFileTypes: true });
  return names.flatMap((entry) => {
    const place = path.posix.join(folder, entry.name);
    return [place, ...(entry.isDirectory() ? walk(place) : [])];
  });
}

/** Links of the guest are links in its folder here, so only relative ones are followed. */
function realPath(place) {
  found(place);
  const real = fs.realpathSync(local(place), { encoding: 'latin1' });
  return real.slice(fs.realpathSync(FAKE_GUEST).length) || '/';
}

function rights(file) {
  return (fs.statSync(file).mode & 0o777).toString(8);
}

function addDrive(words) {
  const server = words.find((word) => word.startsWith('server:'));
  const socket = itemsOf(server.slice('server:'.length))[0].slice('unix:'.length);
  log(`drive ${words.slice(1, -1).join(' ')} ${rights(socket)} ${rights(path.dirname(socket))}`);
  if (FAKE_FAULT !== 'read') return;
  const { status, stdout } = spawnSync('nbdcopy', [`nbd+unix:///?socket=${socket}`, '-']);
  log(`read ${status} ${stdout.length}`);
  if (status !== 0) throw new Complaint('Input/output error');
}

const LIST_END = '\0';
const COMMANDS = {
  'add-drive': addDrive,
  run() {
    if (FAKE_FAULT === 'supermin') {
      throw new Complaint('/usr/bin/supermin exited with error status 1.');
    }
    if (FAKE_FAULT === 'launch') {
      throw new Complaint('the appliance crashed.\n*stdin*:2: libguestfs: error: launch failed.');
    }
    if (FAKE_FAULT === 'die') {
      fs.writeSync(2, 'first line\nno memory\n');
      process.exit(1);
    }
    if (FAKE_FAULT === 'hang') {
      // As the appliance does: it lives until it gets a signal, and then the command fails.
      spawnSync('sh', ['-c', `trap - INT; echo $$ >>'${FAKE_LOG}'; exec sleep 600`]);
      throw new Complaint('appliance closed the connection unexpectedly.');
    }
  },
  'inspect-os': () =>
    print(
      lines('FAKE_OS')
        .map((line) => `${line}\n`)
        .join(''),
    ),
  'inspect-get-mountpoints': () => print(`${process.env.FAKE_MOUNTS}\n`),
  'list-filesystems': () => print(`${process.env.FAKE_FILE_SYSTEMS ?? '/dev/sda: ext4'}\n`),
  'mount-ro'([, device, place]) {
    log(`mount ${device} ${place}`);
    if (device === '/dev/bad') throw new Complaint('mount exited with status 32');
  },
  realpath: ([, place]) => print(`${realPath(place)}\n`),
  ls0([, folder, list]) {
    const names = fs.readdirSync(local(folder), 'latin1');
    fs.writeFileSync(list, names.map((name) => name + LIST_END).join(''), 'latin1');
  },
  find0([, folder, list]) {
    fs.writeFileSync(
      list,
      walk(folder)
        .map((name) => name + LIST_END)
        .join(''),
      'latin1',
    );
  },
  lstatnslist([, folder, list]) {
    const structs = itemsOf(list).map((name, k) => {
      const stat = fs.lstatSync(local(path.posix.join(folder, name)), { throwIfNoEntry: false });
      return `[${k}] = {\n${structOf(stat)}`;
    });
    print(structs.join(''));
  },
  download([, place, target]) {
    const content = fs.readFileSync(local(place));
    if (FAKE_FAULT === 'full') throw new Complaint(`write: ${target}: No space left on device`);
    fs.writeFileSync(Buffer.from(target, 'latin1'), FAKE_FAULT === 'short' ? 'x' : content);
  },
  'tar-out'([, folder, dash], pipe) {
    if (dash !== '-') throw new Complaint('the archive has to go to stdout');
    const source = FAKE_TAR ?? 'tar -cf - .';
    const shell = ['-c', `(${source}) | ${pipe}`];
    spawnSync('sh', shell, { cwd: local(folder).toString(), stdio: [0, 1, 2, 3] });
    if (FAKE_FAULT === 'tar') throw new Complaint('tar_out: tar: ./x: Read error\n');
  },
  echo: (words) => print(`${words.slice(1).join(' ')}\n`),
};

function execute(line) {
  const [, command, pipe] = /^-?((?:"(?:[^"\\]|\\.)*"|[^"|])*)(?:\|(.*))?$/.exec(line) ?? [];
  const words = wordsOf(command ?? '');
  try {
    const run = COMMANDS[words[0]];
    if (!run) throw new Complaint(`unknown command ${words[0]}`);
    run(words, pipe);
  } catch (error) {
    if (!(error instanceof Complaint)) throw error;
    fs.writeSync(2, `*stdin*:1: libguestfs: error: ${error.message}\n`);
  }
}

log(`started ${process.pid}`);
process.on('SIGINT', () => {});
process.stdin.setEncoding('latin1');
createInterface({ input: process.stdin }).on('line', execute);
