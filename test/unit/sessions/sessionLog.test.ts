/** A message of a session reaches its report, its caller and its log, each once. */
import pino from 'pino';
import { describe, expect, test } from 'vitest';
import { type SessionMessage, sessionMessage } from '../../../src/core/messages.ts';
import { SessionLog } from '../../../src/sessions/shared/sessionLog.ts';

const warning = sessionMessage('SNP-201', { snapshot: 'n1', vm: 'web01' });

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

function recorder(): {
  readonly lines: Line[];
  readonly given: SessionMessage[];
  readonly session: SessionLog;
} {
  const lines: Line[] = [];
  const given: SessionMessage[] = [];
  const logger = pino(
    { base: null },
    { write: (text) => void lines.push(JSON.parse(text) as Line) },
  );
  const options = { logger, onMessage: (message: SessionMessage) => void given.push(message) };
  return { lines, given, session: new SessionLog(options, { sessionId: 's1', vmName: 'web01' }) };
}

describe('SessionLog', () => {
  test('gives a message to report, caller and log', () => {
    const { lines, given, session } = recorder();

    session.note(warning);

    expect(session.messages).toEqual([warning]);
    expect(given).toEqual([warning]);
    expect(lines).toMatchObject([
      { code: 'SNP-201', msg: warning.text, resolution: warning.resolution },
    ]);
  });

  test('marks each line with what the session is about', () => {
    const { lines, session } = recorder();

    session.note(warning);
    session.log.info('disk done');

    expect(lines).toMatchObject([
      { sessionId: 's1', vmName: 'web01' },
      { sessionId: 's1', vmName: 'web01', msg: 'disk done' },
    ]);
  });

  test.each([
    ['JOB-607', 30],
    ['SNP-201', 40],
    ['SNP-203', 50],
  ] as const)('logs %s at level %d', (code, level) => {
    const { lines, session } = recorder();

    session.note(sessionMessage(code));

    expect(lines).toMatchObject([{ code, level }]);
  });

  test('does not repeat a message', () => {
    const { lines, given, session } = recorder();

    session.note(warning);
    session.note(sessionMessage('SNP-201', { snapshot: 'n1', vm: 'web01' }));

    expect([session.messages.length, given.length, lines.length]).toEqual([1, 1, 1]);
  });

  test('gives a message again that is about something else', () => {
    const { given, session } = recorder();

    session.note(warning);
    session.note(sessionMessage('SNP-201', { snapshot: 'n2', vm: 'web01' }));

    expect(given.map(({ text }) => text.includes('n2'))).toEqual([false, true]);
  });

  test('works without a logger and without a caller', () => {
    const session = new SessionLog({}, {});
    const { note } = session;

    note(warning);

    expect(session.messages).toEqual([warning]);
  });
});
