/**
 * `follow`: puts linked collections into the entities of an answer. Names are matched without regard to case
 * and underscores; a link that does not exist is answered with 500, as seen on live engines (oVirt contract).
 */
import { EngineFault } from '../../state/refusals.ts';
import { FOLLOW_LINKS, type FollowLink } from './links.ts';
import type { Engine } from '../../state/core.ts';
import type { EngineCall } from '../http/router.ts';
import { WireEntity, WireList, type WireReply, type WireValue } from '../http/wire.ts';

/** `a.b,a.c` as `a → {b, c}`. */
interface FollowTree extends ReadonlyMap<string, FollowTree> {}

function normalize(name: string): string {
  return name.toLowerCase().replaceAll('_', '');
}

function parseFollow(text: string): FollowTree {
  const root = new Map<string, Map<string, never>>();
  for (const path of text.split(',')) {
    let level: Map<string, Map<string, never>> = root;
    for (const part of path.split('.').filter((name) => name.trim() !== '')) {
      const name = normalize(part.trim());
      const next = level.get(name) ?? new Map<string, never>();
      level.set(name, next);
      level = next;
    }
  }
  return root;
}

function linkOf(entity: WireEntity, name: string): readonly [string, FollowLink] {
  const links = Object.entries(FOLLOW_LINKS[entity.type] ?? {});
  const link = links.find(([field]) => normalize(field) === name);
  if (!link) throw new EngineFault(500, 'Operation Failed', `[No link ${name} to follow.]`);
  return link;
}

function expandEntity(engine: Engine, entity: WireEntity, tree: FollowTree): WireEntity {
  let expanded = entity;
  for (const [name, subtree] of tree) {
    const [field, follow] = linkOf(entity, name);
    const value = follow(engine, entity.row as never);
    expanded = expanded.with({ [field]: expandValue(engine, value, subtree) });
  }
  return expanded;
}

function expandValue(engine: Engine, value: WireValue, tree: FollowTree): WireValue {
  if (tree.size === 0) return value;
  if (value instanceof WireEntity) return expandEntity(engine, value, tree);
  if (!(value instanceof WireList)) return value;
  return new WireList(
    value.item,
    value.values.map((member) => expandValue(engine, member, tree)),
  );
}

/** An answer with what its request wants to follow. */
export function expandReply(call: EngineCall, answer: WireReply): WireReply {
  const follow = call.query.get('follow');
  if (!follow) return answer;
  if (call.engine.behaviour.followFails) {
    throw new EngineFault(500, 'Operation Failed', '[Internal Engine Error]');
  }
  return { ...answer, value: expandValue(call.engine, answer.value, parseFollow(follow)) };
}
