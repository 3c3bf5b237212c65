/** The commands of docs/mount.md, one after the other, as a reader types them. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { addRow } from '../environment.ts';
import { makeGuestChain } from './guestDisks.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const COMMAND = path.join(ROOT, 'dist/cli/launch.cjs');
const TIMEOUT_MS = 300_000;
/** Why these programs are left out, or empty. run.sh says it too. */
const WITHOUT_FUSE = process.env['INTEROP_WITHOUT_FUSE'] ?? '';
const WITHOUT_GUESTFISH = process.env['INTEROP_WITHOUT_GUESTFISH'] ?? '';

let background: ChildProcess[] = [];

afterEach(() => {
  for (const child of background) child.kill('SIGKILL');
  background = [];
});

/** Lines of the blocks that are run, and the commands in the table. */
function commandsOfPage(): string[] {
  const page = readFileSync(path.join(ROOT, 'docs/mount.md'), 'utf8');
  const found = page.matchAll(/^```sh\n(.*?)^```|^\| [^|]+ \| `((?:nbd|qemu)[^`]+)` \|$/gms);
  return [...found].flatMap(([, block, inTable]) => (inTable ?? block ?? '').trim().split('\n'));
}

/** Starts a command that serves until it is stopped. */
async function serve(line: string, cwd: string, isUp: () => boolean): Promise<ChildProcess> {
  const child = spawn('bash', ['-c', `exec ${line}`], { cwd, stdio: 'ignore' });
  background.push(child);
  while (!isUp()) {
    expect(child.exitCode, line).toBe(null);
    await sleep(20);
  }
  return child;
}

async function stop(child: ChildProcess | undefined): Promise<void> {
  if (!child) return;
  child.kill('SIGINT');
  const [exitCode] = (await once(child, 'exit')) as [number];
  expect(exitCode).toBe(0);
}

it('has commands that work', { timeout: TIMEOUT_MS }, async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'cbt-'));
  const at = (...names: string[]): string => path.join(folder, ...names);
  const chain = await makeGuestChain(folder);
  rmSync(at('data'));
  rmSync(at('root'));
  const commands = commandsOfPage()
    .filter((line) => WITHOUT_FUSE === '' || !/^mkdir|mnt/.test(line))
    .filter((line) => WITHOUT_GUESTFISH === '' || !/^guestfish|ovirt-cbt files/.test(line))
    .map((line) => line.replace(/^npx ovirt-cbt/, `'${process.execPath}' '${COMMAND}'`))
    .map((line) => line.replace('--repo repo ', `--repo '${chain.repository}' `));
  expect(commands.length).toBeGreaterThan(8);
  let exported: ChildProcess | undefined;
  let page = '';

  for (const line of commands) {
    if (/ export /.test(line)) {
      await stop(exported);
      exported = await serve(line, folder, () => existsSync(at('web01.sock')));
    } else if (line.endsWith(' &')) {
      await serve(line.slice(0, -2), folder, () => existsSync(at('mnt/nbd')));
    } else {
      page += execFileSync('bash', ['-euc', line], {
        cwd: folder,
        encoding: 'utf8',
        stdio: 'pipe',
      });
    }
  }
  await stop(exported);

  const [image, kept] = [path.join(chain.points[1]?.images ?? '', 'root'), at('kept-root.raw')];
  for (const copy of [at('root.raw'), kept]) execFileSync('cmp', [copy, image]);
  expect(existsSync(at('overlay'))).toBe(true);
  if (WITHOUT_FUSE === '') expect(statSync(at('second')).size).toBe(3 * 2 ** 20);
  if (WITHOUT_GUESTFISH === '') {
    expect(readFileSync(at('files/token'), 'utf8')).toMatch(/^token/);
    expect(page).toMatch(/\/home\/second$/m);
  }
  expect(page).toContain('export="root"');
  rmSync(folder, { recursive: true });
  addRow('nbdinfo', 'commands of docs/mount.md', true, `${commands.length} commands`);
});
