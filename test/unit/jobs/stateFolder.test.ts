/** Files of the state of jobs. */
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { SessionMessage } from '../../../src/core/messages.ts';
import type { JobConfig } from '../../../src/jobs/jobFile.ts';
import { addMissedSlots, newState } from '../../../src/jobs/state/applyRun.ts';
import { StateFolder } from '../../../src/jobs/state/stateFolder.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();

function fileIn(place: string, name = 'jobs.yaml', stateFolder?: string) {
  const jobs = new Map(['nightly', 'weekly'].map((job) => [job, {} as JobConfig]));
  return { path: path.join(place, name), stateFolder, jobs };
}

async function opened(messages: SessionMessage[] = []): Promise<StateFolder> {
  const place = temp.path();
  return await StateFolder.open(fileIn(place, 'jobs.yaml', path.join(place, 'state')), {}, (m) =>
    messages.push(m),
  );
}

describe('the state folder', () => {
  it('is the one of the file, of the unit, or of the user, in this order', async () => {
    const place = temp.path();
    const environment = {
      STATE_DIRECTORY: `${place}/unit:${place}/other`,
      XDG_STATE_HOME: `${place}/user`,
    };
    const ofFile = await StateFolder.open(fileIn(place, 'a', `${place}/file`), environment);
    const ofUnit = await StateFolder.open(fileIn(place), environment);
    const ofUser = await StateFolder.open(fileIn(place), { XDG_STATE_HOME: `${place}/user` });

    expect(path.dirname(ofFile.path)).toBe(`${place}/file`);
    expect(path.dirname(ofUnit.path)).toBe(`${place}/unit`);
    expect(path.dirname(ofUser.path)).toBe(`${place}/user/ovirt-cbt`);
    expect((await stat(ofUser.path)).mode & 0o777).toBe(0o700);
  });

  it('differs for job files in other folders, and is the same through a link', async () => {
    const place = temp.path();
    const environment = { XDG_STATE_HOME: place };
    await mkdir(`${place}/a`);
    await writeFile(`${place}/a/jobs.yaml`, '');
    await symlink(`${place}/a`, `${place}/link`);
    const open = async (name: string): Promise<string> =>
      (await StateFolder.open(fileIn(`${place}/${name}`), environment)).path;

    expect(await open('link')).toBe(await open('a'));
    expect(await open('b')).not.toBe(await open('a'));
    expect(path.basename(await open('a'))).toMatch(/^jobs\.yaml-[0-9a-f]{12}$/);
  });

  it('that cannot be made is an error with its path', async () => {
    const place = temp.path();
    await writeFile(`${place}/file`, '');
    const opening = StateFolder.open(fileIn(place, 'jobs.yaml', `${place}/file/state`), {});

    await expect(opening).rejects.toMatchObject({
      code: 'OUTPUT_IO',
      hint: expect.stringContaining(`${place}/file/state`) as string,
    });
  });
});

describe('the state of a job', () => {
  it('is new at first, and then as it was written, mode 0600', async () => {
    const states = await opened();
    const state = { ...newState('nightly'), missedSlots: 3 };
    await states.write(state);

    expect(await states.readAll()).toEqual([state, newState('weekly')]);
    const file = path.join(states.path, 'job-nightly', 'state.json');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it.each([
    ['no JSON', '{"format'],
    ['missedSlots', '{"format":"ovirt-cbt-state/1","jobName":"nightly"}'],
    [
      'of job weekly',
      '{"format":"ovirt-cbt-state/1","jobName":"weekly","missedSlots":0,"failedNotifications":0,"vms":[]}',
    ],
  ])('that is damaged (%s) is told, kept aside, and begins anew', async (reason, text) => {
    const messages: SessionMessage[] = [];
    const states = await opened(messages);
    await states.write(newState('nightly'));
    const jobFolder = path.join(states.path, 'job-nightly');
    await writeFile(path.join(jobFolder, 'state.json'), text);

    expect(await states.read('nightly')).toEqual(newState('nightly'));
    expect(messages).toMatchObject([{ code: 'JOB-630', text: expect.stringContaining(reason) }]);
    const [aside = ''] = (await readdir(jobFolder)).filter((name) => name.includes('damaged'));
    expect(await readFile(path.join(jobFolder, aside), 'utf8')).toBe(text);
    expect(await states.read('nightly')).toEqual(newState('nightly'));
    expect(messages).toHaveLength(1);
  });

  it('loses no change when several change it at once', async () => {
    const one = await opened();
    const slots = Array.from({ length: 8 }, (_, n) => new Date(Date.UTC(2026, 4, n + 1)));
    await Promise.all(
      slots.map((slot) => one.update('nightly', (state) => addMissedSlots(state, [slot]))),
    );

    const state = await one.read('nightly');
    expect(state.missedSlots).toBe(8);
    expect(state.lastSlot).toBe('2026-05-08T00:00:00.000Z');
  });
});

describe('locks of the state folder', () => {
  it('let one run of a job and one daemon work at a time', async () => {
    const states = await opened();
    const job = await states.lockJob('nightly');
    const daemon = await states.lockDaemon();

    await expect(states.lockJob('nightly')).rejects.toMatchObject({
      code: 'JOB_RUNNING',
      message: expect.stringContaining(`job nightly is running: pid ${process.pid}`) as string,
    });
    await expect(states.lockDaemon()).rejects.toMatchObject({ code: 'DAEMON_RUNNING' });
    await (await states.lockJob('weekly'))[Symbol.asyncDispose]();
    await job[Symbol.asyncDispose]();
    await daemon[Symbol.asyncDispose]();
    await (await states.lockJob('nightly'))[Symbol.asyncDispose]();
    await (await states.lockDaemon())[Symbol.asyncDispose]();
  });
});
