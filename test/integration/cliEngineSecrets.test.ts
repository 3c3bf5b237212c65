/** The command line prints no secret of an engine, for any end of a session and any log level. */
import { expect, it } from 'vitest';
import { useCliLab } from '../helpers/cliLab.ts';
import { Evidence } from '../helpers/evidence.ts';
import { VM_KINDS, type VmKind, VmScene } from '../helpers/vmScene.ts';

const bench = useCliLab();
const [HYBRID] = VM_KINDS as [VmKind];

it.each([
  ['succeeds', undefined],
  ['fails', { dropTicket: true }],
])('a session that %s prints no secret at its most talkative', async (_what, action) => {
  const scene = new VmScene(bench, HYBRID);
  await scene.session();
  scene.edit();
  const image = { server: 'imageio', method: 'GET', path: /\/images\/[^/?]+$/ } as const;
  if (action) bench.lab.faults.add(image, action);
  const args = bench.backupArgs([scene.vm.name], '--log-level', 'trace', '--json');

  const { exitCode, stdout, stderr } = await bench.run(args);

  const { lab } = bench;
  const login = Buffer.from(`${lab.username}:${lab.password}`).toString('base64');
  const evidence = new Evidence();
  evidence.add('output', stdout + stderr);
  expect(exitCode === 0).toBe(action === undefined);
  expect(stderr).toContain('"level":');
  expect(evidence.find([...lab.secrets(), login])).toEqual([]);
});
