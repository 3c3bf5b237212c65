/** Messages to systemd: the real `systemd-notify` sends them to a socket of the test. */
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { SystemdNotifier, watchdogMs } from '../../../src/jobs/daemon/systemd.ts';
import { startReceiver, without } from '../../helpers/jobs/notifySocket.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await wait(10);
}

describe('messages to systemd', () => {
  it.skipIf(without !== '')(`tell start, life and stop${without}`, async () => {
    const { socket, texts } = await startReceiver(temp.path('notify.sock'));
    let isAlive = true;
    const failures: string[] = [];
    using systemd = new SystemdNotifier({
      environment: { ...process.env, NOTIFY_SOCKET: socket, WATCHDOG_USEC: '300000' },
      pid: process.pid,
      isAlive: () => isAlive,
      onFailure: (text) => failures.push(text),
    });
    const has = (part: string): boolean => texts.some((text) => text.includes(part));
    await systemd.ready();
    await until(() => has('READY=1') && has('WATCHDOG=1'));
    isAlive = false;
    await systemd.stopping();
    await until(() => has('STOPPING=1'));

    expect(texts[0]).toContain('READY=1');
    expect(failures).toEqual([]);
  });

  it('are not sent without systemd', async () => {
    const failures: string[] = [];
    using systemd = new SystemdNotifier({
      environment: { PATH: '/nonexistent' },
      pid: 1,
      isAlive: () => true,
      onFailure: (text) => failures.push(text),
    });
    await systemd.ready();

    expect(failures).toEqual([]);
  });

  it('that cannot be sent are told once', async () => {
    const failures: string[] = [];
    using systemd = new SystemdNotifier({
      environment: { PATH: '/nonexistent', NOTIFY_SOCKET: '/nonexistent/socket' },
      pid: 1,
      isAlive: () => true,
      onFailure: (text) => failures.push(text),
    });
    await systemd.ready();
    await systemd.stopping();

    expect(failures).toEqual([
      'systemd-notify failed: it is not installed; systemd may end this daemon',
    ]);
  });
});

describe('signs of life', () => {
  it('come three times in the time that systemd waits', () => {
    expect(watchdogMs({ WATCHDOG_USEC: '60000000' }, 7)).toBe(20_000);
    expect(watchdogMs({ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '7' }, 7)).toBe(20_000);
  });

  it('are not sent for another process, or without a limit', () => {
    expect(watchdogMs({ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '8' }, 7)).toBeUndefined();
    expect(watchdogMs({}, 7)).toBeUndefined();
    expect(watchdogMs({ WATCHDOG_USEC: 'x' }, 7)).toBeUndefined();
    expect(watchdogMs({ WATCHDOG_USEC: '0' }, 7)).toBeUndefined();
  });
});
