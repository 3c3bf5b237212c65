/**
 * Objects of ours on an engine are found by description and by recorded ids. Others are not
 * touched.
 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Checkpoint } from '../../../src/ovirt/engine/entities.ts';
import {
  backupDescription,
  supersededCheckpoints,
} from '../../../src/sessions/cleanup/ownership.ts';
import { restorePoint } from '../../helpers/repository/madeUp.ts';

const REPOSITORY = 'repo-1';
const OURS = backupDescription(REPOSITORY, 's1');

function checkpoint(id: string, description = '', state = 'created'): Checkpoint {
  return { id, state, description, createdAtMs: undefined, diskIds: undefined };
}

function superseded(checkpoints: readonly Checkpoint[], ...pointIds: readonly string[]): string[] {
  const points = pointIds.map((checkpointId) => restorePoint({ checkpointId }));
  return supersededCheckpoints(checkpoints, REPOSITORY, points).map(({ id }) => id);
}

describe('supersededCheckpoints', () => {
  test('are those of older restore points', () => {
    const all = ['c1', 'c2', 'c3'].map((id) => checkpoint(id, OURS));

    expect(superseded(all, 'c1', 'c2', 'c3')).toEqual(['c1', 'c2']);
  });

  test('are known by their ids when their description is lost', () => {
    expect(superseded([checkpoint('c1'), checkpoint('c2')], 'c1', 'c2')).toEqual(['c1']);
  });

  test('are known by their description when no restore point was committed for them', () => {
    const all = [checkpoint('c1', OURS), checkpoint('c2', OURS)];

    expect(superseded(all, 'c1')).toEqual(['c2']);
  });

  test('are all of ours when the newest restore point has none', () => {
    expect(superseded([checkpoint('c1', OURS)], 'c1', '')).toEqual(['c1']);
  });

  test('are all of ours when there is no restore point', () => {
    expect(superseded([checkpoint('c1', OURS)])).toEqual(['c1']);
  });

  test('are not those of the repository of which this one is a copy', () => {
    const original = backupDescription('repo-2', 's1');
    const all = [checkpoint('c1', original), checkpoint('c2', original), checkpoint('c3', OURS)];

    expect(superseded(all, 'c1', 'c2', 'c3')).toEqual([]);
  });

  test('keep the order in which the engine names them', () => {
    const all = ['c3', 'c1', 'c2'].map((id) => checkpoint(id, OURS));

    expect(superseded(all, 'c9')).toEqual(['c3', 'c1', 'c2']);
  });

  test.each([
    ['of another product', 'Veeam backup of web01'],
    ['without a description', ''],
    ['of another repository', backupDescription('repo-2', 's1')],
    ['of a repository whose id begins alike', backupDescription(`${REPOSITORY}1`, 's1')],
    ['that only mentions us', `copy of ${OURS}`],
    ['of our product by hand', 'ovirt-cbt'],
  ])('are never one %s', (_what, description) => {
    expect(superseded([checkpoint('x1', description)], 'c1')).toEqual([]);
  });

  test('are never the base, whatever its description says', () => {
    for (const description of ['', OURS, 'of somebody else']) {
      expect(superseded([checkpoint('c1', description)], 'c0', 'c1')).toEqual([]);
    }
  });

  test('are never foreign and never the base, for any mixture', () => {
    const ids = fc.constantFrom('c1', 'c2', 'c3', 'x1', 'x2', 'x3');
    const otherRepository = backupDescription('repo-2', 's1');
    const descriptions = fc.constantFrom('', OURS, 'other', otherRepository);
    const many = fc.uniqueArray(fc.record({ id: ids, description: descriptions }), {
      selector: ({ id }) => id,
    });
    fc.assert(
      fc.property(
        many,
        fc.array(fc.constantFrom<string[]>('', 'c1', 'c2', 'c3')),
        (given, pointIds) => {
          const checkpoints = given.map(({ id, description }) => checkpoint(id, description));

          const named = new Set(superseded(checkpoints, ...pointIds));

          for (const { id, description } of checkpoints) {
            const isKnown = pointIds.includes(id) && description !== otherRepository;
            const isOurs = isKnown || description === OURS;
            expect(named.has(id)).toBe(isOurs && id !== pointIds.at(-1));
          }
        },
      ),
    );
  });
});
