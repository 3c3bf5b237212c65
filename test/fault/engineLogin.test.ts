/** Rows 1 to 5 of the fault table: login and permissions. */
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '../../src/core/errors.ts';
import { failureOf, expectCode, messageCodes } from '../helpers/codes.ts';
import { EngineClient } from '../helpers/lab/engineClient.ts';
import {
  addSmallVm,
  BACKUP_KINDS,
  calls,
  expectNextIncremental,
  expectFrozenView,
  PATHS,
  statuses,
} from '../helpers/faults/sessionFaults.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { MIB } from '../helpers/bytes/images.ts';

const bench = useLab();
const REFUSED_LOGIN = {
  status: 400,
  body: { error_code: 'access_denied', error: 'Cannot authenticate user' },
};

describe('row 1: a wrong password', () => {
  it('is tried exactly once', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const engine = { ...bench.settings(), password: 'not the password' };

    const error = await expectCode(bench.backup(vm, { engine }), 'ENGINE_AUTH_REFUSED');

    expect(exitCodeOf(error)).toBe(12);
    expect(statuses(lab, 'POST', PATHS.token)).toEqual([400]);
    expect(calls(lab, 'GET', PATHS.api)).toEqual([]);
  });

  it('is tried exactly once when it was changed during a session, whose data is kept', async () => {
    const { lab } = bench;
    bench.allowLeftovers();
    const vm = addSmallVm(lab, {}, [{ name: 'data', sizeBytes: MIB }]);
    lab.faults.add({ path: PATHS.token, nth: 2, times: 1000 }, REFUSED_LOGIN);
    lab.faults.add(
      { method: 'POST', path: PATHS.finalizeTransfer, nth: 1 },
      { run: () => lab.expireTokens() },
    );

    const report = await bench.backup(vm);

    expect(report.messages).toMatchObject([{ code: 'XFER-306', level: 'error' }]);
    expect(statuses(lab, 'POST', PATHS.token)).toEqual([200, 400]);
    await expectFrozenView(bench, vm, report);
  });

  it('leaves a journal behind when it was changed during a session, and the next session cleans up', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const login = lab.faults.add({ path: PATHS.token, nth: 2, times: 1000 }, REFUSED_LOGIN);
    lab.faults.add(
      { method: 'POST', path: PATHS.transfers, nth: 1 },
      { run: () => lab.expireTokens() },
    );
    await expectCode(bench.backup(vm), 'ENGINE_AUTH_REFUSED');
    lab.faults.remove(login);

    const report = await bench.backup(vm);

    expect(messageCodes(report)).toEqual(['JOB-606']);
    await expectFrozenView(bench, vm, report);
  });
});

describe('row 2: the login', () => {
  it('asks for JSON, without which the engine refuses every login', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    const bare = new EngineClient(lab);
    const form = { username: lab.username, password: lab.password };
    const odd = await bare.sso(form, { accept: 'application/json, text/plain' });
    await bare.close();

    await bench.backup(vm);

    expect(odd.json['error_code']).toBe('invalid_request');
    expect(statuses(lab, 'POST', PATHS.token)).toEqual([400, 200]);
  });
});

describe('row 3: a token that died', () => {
  it('before finalize is renewed once and the request is replayed', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.faults.add(
      { method: 'POST', path: PATHS.finalizeBackup, nth: 1 },
      { run: () => lab.expireTokens() },
    );

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.finalizeBackup)).toEqual([401, 200]);
    expect(statuses(lab, 'POST', PATHS.token)).toEqual([200, 200]);
    expect(report.messages).toEqual([]);
    await expectFrozenView(bench, vm, report);
    await expectNextIncremental(bench, vm);
  });

  it('before the start of a backup starts one backup, not two', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.faults.add(
      { method: 'POST', path: PATHS.backups, nth: 1 },
      { run: () => lab.expireTokens() },
    );

    await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.backups)).toEqual([401, 201]);
    expect(lab.events().filter(({ code }) => code === 10790)).toHaveLength(1);
  });

  it('is renewed once for all disks that are read at the same time', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, {}, [{ name: 'data', sizeBytes: MIB }]);
    lab.faults.add(
      { method: 'POST', path: PATHS.transfers, nth: 2 },
      { run: () => lab.expireTokens() },
    );

    const report = await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.token)).toEqual([200, 200]);
    await expectFrozenView(bench, vm, report);
  });

  it('again at once is no reason to log in for ever', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.faults.add(
      { method: 'GET', path: PATHS.api },
      { status: 401, body: '<html>Unauthorized</html>' },
    );

    const error = await expectCode(bench.backup(vm), 'ENGINE_AUTH_REFUSED');

    expect(exitCodeOf(error)).toBe(12);
    expect(calls(lab, 'POST', PATHS.token)).toHaveLength(2);
  });

  it('is given back at the end of the job', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);

    await bench.backup(vm);

    expect(statuses(lab, 'POST', PATHS.logout)).toEqual([200]);
  });
});

describe('row 4: a user without the right to back up disks', () => {
  it('is told which right is missing, and nothing is tried again', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.behaviour.forbidsBackup = true;

    const error = await expectCode(bench.backup(vm), 'ENGINE_FORBIDDEN');

    expect(exitCodeOf(error)).toBe(12);
    expect(error.hint).toContain('BACKUP_DISK');
    expect(statuses(lab, 'POST', PATHS.backups)).toEqual([403]);
    lab.behaviour.forbidsBackup = false;
    await expectFrozenView(bench, vm, await bench.backup(vm));
  });
});

describe.each(BACKUP_KINDS)('row 5: a user who may not act on transfers (%s)', (_kind, spec) => {
  // The engine ends an idle transfer after 600 s, the timeout that the client asked for.
  const quick = useLab({ timeScale: 0.0008 });

  it('gets the restore point after the engine has timed the transfer out', async () => {
    const { lab } = quick;
    const vm = addSmallVm(lab, spec);
    lab.behaviour.forbidsTransferActions = true;

    const report = await quick.backup(vm);

    expect(statuses(lab, 'POST', PATHS.finalizeTransfer)).toContain(403);
    expect(statuses(lab, 'POST', PATHS.finalizeBackup)).toEqual([200]);
    expect(messageCodes(quick)).toContain('XFER-307');
    await expectFrozenView(quick, vm, report);
  });
});

describe('row 5: a session of a user who may not act on transfers', () => {
  const quick = useLab({ timeScale: 0.0008 });

  it('keeps the base of the next session when it fails', async () => {
    const { lab } = quick;
    const vm = addSmallVm(lab);
    await quick.backup(vm);
    lab.behaviour.forbidsTransferActions = true;
    lab.faults.add({ server: 'imageio', path: /\/extents/, nth: 1 }, { status: 400, body: 'no' });

    await failureOf(quick.backup(vm));

    lab.behaviour.forbidsTransferActions = false;
    await expectNextIncremental(quick, vm);
  });
});
