/** Messages and the progress line on one stream; readers that are slow or gone. */
import { Writable } from 'node:stream';
import { beforeEach, describe, expect, test } from 'vitest';
import { MessageOutput } from '../../../src/cli/output/standardOutputs.ts';

const CLEAR = '\r\u001B[J';

/** A stream whose reader can pause or be gone. */
class Screen extends Writable {
  text = '';
  failure: Error | undefined;
  #paused: (() => void)[] | undefined;

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    const take = (): void => {
      if (!this.failure) this.text += chunk.toString();
      done(this.failure);
    };
    if (this.#paused) this.#paused.push(take);
    else take();
  }

  pause(): void {
    this.#paused = [];
  }

  resume(): void {
    const waiting = this.#paused ?? [];
    this.#paused = undefined;
    for (const take of waiting) take();
  }
}

let screen: Screen;
let output: MessageOutput;
beforeEach(() => {
  screen = new Screen();
  screen.on('error', () => {});
  output = new MessageOutput(screen as unknown as NodeJS.WriteStream);
});

describe('a message', () => {
  test('without a progress line is printed as it is', () => {
    output.write('warn: x\n');

    expect(screen.text).toBe('warn: x\n');
  });

  test('clears the progress line, which is drawn again below it', () => {
    output.drawProgress(['50%']);
    screen.text = '';

    output.write('warn: x\n');

    expect(screen.text).toBe(`${CLEAR}warn: x\n${CLEAR}50%\r`);
  });

  test('clears all lines of the progress area, whose cursor is in the first one', () => {
    output.drawProgress(['web01', 'web02', 'web03']);

    output.write('warn: x\n');

    const area = `${CLEAR}web01\nweb02\nweb03\u001B[2A\r`;
    expect(screen.text).toBe(`${area}${CLEAR}warn: x\n${area}`);
  });

  test('after the end of the progress line is printed as it is', () => {
    output.drawProgress(['50%']);
    output.clearProgress();
    screen.text = '';

    output.clearProgress();
    output.write('warn: x\n');

    expect(screen.text).toBe('warn: x\n');
  });
});

describe('a reader that is slow', () => {
  const LINE = `${'x'.repeat(1023)}\n`;

  function fill(): void {
    screen.pause();
    for (let k = 0; k < 300; k++) output.write(LINE);
  }

  test('gets the first 256 KiB, and is told how many lines were dropped', async () => {
    fill();
    screen.resume();

    output.write('next\n');

    expect(await output.settled()).toBe(true);
    const lines = screen.text.split('\n');
    expect(lines.filter((line) => line.startsWith('x'))).toHaveLength(257);
    expect(lines.slice(-3)).toEqual([
      'warn: 43 lines were dropped here, because nobody read them in time',
      'next',
      '',
    ]);
  });

  test('is told at the end as an object with --json', async () => {
    output.isJson = true;
    fill();
    screen.resume();

    await output.settled();

    expect(screen.text.split('\n').slice(-2)).toEqual(['{"type":"dropped_lines","count":43}', '']);
  });

  test('gets no progress line until it has read', () => {
    screen.pause();
    output.write('first\n');

    output.drawProgress(['50%']);
    screen.resume();

    expect(screen.text).toBe('first\n');
  });
});

test('a stream that failed is not written to again', async () => {
  screen.failure = Object.assign(new Error('full'), { code: 'ENOSPC' });
  output.write('lost\n');
  await output.settled();
  screen.failure = undefined;

  output.write('more\n');

  expect(await output.settled()).toBe(true);
  expect(screen.text).toBe('');
});
