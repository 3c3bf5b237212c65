/**
 * The parameter `follow`: linked entities inside the answer. Source: oVirt contract: names are
 * matched without regard to case and underscores.
 */
import { EngineFault } from '../../state/refusals.ts';
import type { EngineCall } from './router.ts';

function failed(text: string): EngineFault {
  return new EngineFault(500, 'Operation Failed', `[${text}]`);
}

function plain(link: string): string {
  return link.replaceAll('_', '').toLowerCase();
}

/**
 * True when the request follows `link`, the only one that the lab knows for this answer.
 * @throws EngineFault 500 for another link, as live engines answer (oVirt contract)
 */
export function follows({ engine, query }: EngineCall, link: string): boolean {
  const wanted = query.get('follow') ?? '';
  if (wanted === '') return false;
  if (engine.behaviour.followFails) throw failed('Internal Engine Error');
  if (plain(wanted) !== plain(link)) throw failed(`No link ${wanted} to follow.`);
  return true;
}
