import { describe, expect, test } from 'vitest';
import { LabFaultList, type LabRequestFacts } from '../../../lab/src/http/faults.ts';

const READ: LabRequestFacts = {
  server: 'imageio',
  method: 'GET',
  path: '/images/t1/extents?context=zero',
  diskId: 'd1',
};

/** Shows the same request `count` times. @returns for each whether a fault fired */
function meetings(faults: LabFaultList, count: number, facts: LabRequestFacts = READ): boolean[] {
  return Array.from({ length: count }, () => faults.meet(facts).length > 0);
}

function draws(seed: number): boolean[] {
  const faults = new LabFaultList();
  faults.seed(seed);
  faults.add({ probability: 0.3 }, { status: 500 });
  return meetings(faults, 2000);
}

describe('matching', () => {
  test.each([
    ['no condition', {}, true],
    ['the server', { server: 'imageio' }, true],
    ['another server', { server: 'engine' }, false],
    ['the method in any case', { method: 'get' }, true],
    ['another method', { method: 'PUT' }, false],
    ['the path with its query', { path: /extents\?context=zero$/ }, true],
    ['another path', { path: /^\/extents/ }, false],
    ['the disk', { diskId: 'd1' }, true],
    ['another disk', { diskId: 'd2' }, false],
    ['a phase that the request has not', { phase: 'ready' }, false],
    ['all conditions but one', { server: 'imageio', method: 'GET', diskId: 'd2' }, false],
  ] as const)('by %s', (_, match, isMet) => {
    const faults = new LabFaultList();
    faults.add(match, { status: 500 });

    expect(meetings(faults, 1)).toEqual([isMet]);
  });

  test('by phase', () => {
    const faults = new LabFaultList();
    faults.add({ phase: 'ready' }, { status: 500 });

    expect(meetings(faults, 1, { ...READ, phase: 'ready' })).toEqual([true]);
    expect(meetings(faults, 1, { ...READ, phase: 'starting' })).toEqual([false]);
  });

  test('does not depend on the state of a global expression', () => {
    const faults = new LabFaultList();
    faults.add({ path: /images/g }, { status: 500 });

    expect(meetings(faults, 3)).toEqual([true, true, true]);
  });
});

describe('counting', () => {
  test('a fault without nth fires always, or the first `times`', () => {
    const faults = new LabFaultList();
    faults.add({}, { status: 500 });
    const limited = new LabFaultList();
    limited.add({ times: 2 }, { status: 500 });

    expect(meetings(faults, 4)).toEqual([true, true, true, true]);
    expect(meetings(limited, 4)).toEqual([true, true, false, false]);
  });

  test('a fault with nth fires once there, or `times` in a row', () => {
    const faults = new LabFaultList();
    faults.add({ nth: 2 }, { status: 500 });
    const twice = new LabFaultList();
    twice.add({ nth: 2, times: 2 }, { status: 500 });

    expect(meetings(faults, 4)).toEqual([false, true, false, false]);
    expect(meetings(twice, 4)).toEqual([false, true, true, false]);
  });

  test('only matching requests count towards nth', () => {
    const faults = new LabFaultList();
    faults.add({ nth: 2, method: 'GET' }, { status: 500 });
    meetings(faults, 3, { ...READ, method: 'OPTIONS' });

    expect(meetings(faults, 2)).toEqual([false, true]);
  });

  test('fired counts are kept by fault and in sum, also after removal', () => {
    const faults = new LabFaultList();
    const one = faults.add({ times: 1 }, { delayMs: 1 });
    const other = faults.add({}, { delayMs: 1 });
    meetings(faults, 3);
    faults.remove(other);
    faults.clear();

    expect(meetings(faults, 1)).toEqual([false]);
    expect([faults.fired(one), faults.fired(other), faults.firedCount]).toEqual([1, 3, 4]);
  });
});

describe('several faults', () => {
  test('that meet one request all fire, in the order of their adding', () => {
    const faults = new LabFaultList();
    faults.add({}, { delayMs: 1 });
    faults.add({}, { cutAfterBytes: 2 });

    expect(faults.meet(READ)).toEqual([{ delayMs: 1 }, { cutAfterBytes: 2 }]);
  });

  test('end with the first that ends the request; later ones count it and do not fire', () => {
    const faults = new LabFaultList();
    faults.add({ times: 1 }, { reset: true });
    const always = faults.add({}, { delayMs: 1 });
    const second = faults.add({ nth: 2 }, { status: 500 });

    expect(faults.meet(READ)).toEqual([{ reset: true }]);
    expect(faults.meet(READ)).toEqual([{ delayMs: 1 }, { status: 500 }]);
    expect([faults.fired(always), faults.fired(second)]).toEqual([1, 1]);
  });
});

describe('chance', () => {
  test('repeats with its seed and differs with another', () => {
    expect(draws(7)).toEqual(draws(7));
    expect(draws(7)).not.toEqual(draws(8));
  });

  test('hits about as often as asked', () => {
    const share = draws(7).filter(Boolean).length / 2000;

    expect(share).toBeGreaterThan(0.25);
    expect(share).toBeLessThan(0.35);
  });

  test('of 0 never and of 1 always fires', () => {
    const faults = new LabFaultList();
    const never = faults.add({ probability: 0 }, { delayMs: 1 });
    const always = faults.add({ probability: 1 }, { delayMs: 1 });
    meetings(faults, 200);

    expect([faults.fired(never), faults.fired(always)]).toEqual([0, 200]);
  });
});
