// What the desk has on its left: the queue with waiting times, one's own conversations, those of colleagues, and what is over.

import { $, avatar, make } from '../shared/dom.js';
import { onLanguage, say, t } from '../shared/i18n.js';
import type { Conversation } from './conversation.js';
import { clock } from './thread.js';

const impatient = 2 * 60_000; // after that somebody has waited for long

type Kind = 'queue' | 'mine' | 'others' | 'over';
const kinds: Kind[] = ['queue', 'mine', 'others', 'over'];

export class Lists {
  private readonly items = new Map<string, HTMLElement>();
  private readonly sections = Object.fromEntries(kinds.map((kind) => [kind, section(kind)])) as Record<Kind, ReturnType<typeof section>>;

  constructor(private readonly choose: (id: string) => void) {
    $('lists').append(...kinds.map((kind) => this.sections[kind].element));
    setInterval(() => this.tick(), 1000);
    onLanguage(() => this.items.clear());
  }

  show(conversations: Map<string, Conversation>, user: string, chosen: string, agents: Map<string, string>): void {
    const sorted: Record<Kind, Conversation[]> = { queue: [], mine: [], others: [], over: [] };
    for (const conversation of conversations.values()) sorted[kindOf(conversation, user)].push(conversation);
    sorted.queue.sort((a, b) => a.since - b.since); // who waits longest is first
    for (const kind of ['mine', 'others', 'over'] as const) sorted[kind].sort((a, b) => (b.last?.at ?? b.since) - (a.last?.at ?? a.since));
    for (const id of this.items.keys()) if (!conversations.has(id)) this.items.delete(id);
    for (const kind of kinds) {
      const { element, list, count } = this.sections[kind];
      element.hidden = sorted[kind].length === 0;
      count.textContent = String(sorted[kind].length);
      const items = sorted[kind].map((conversation) => this.item(conversation, kind, chosen, agents));
      if (items.length !== list.children.length || items.some((item, i) => item !== list.children[i])) reorder(list, items);
    }
    $('desk-empty').hidden = conversations.size > 0;
    this.tick();
  }

  private item(conversation: Conversation, kind: Kind, chosen: string, agents: Map<string, string>): HTMLElement {
    const { id, visitor, last, agent, unread } = conversation;
    let item = this.items.get(id);
    if (!item) {
      const middle = make('span', 'grow', make('strong', 'who', visitor), make('span', 'last'));
      const button = make('button', 'item', avatar(visitor), middle, make('span', 'side', make('span', 'wait number'), make('span', 'badge')));
      button.type = 'button';
      button.onclick = () => this.choose(id);
      item = make('li', '', button);
      item.dataset.id = id;
      this.items.set(id, item);
    }
    const part = (at: string) => item.querySelector<HTMLElement>(at)!;
    const [line, wait, badge] = [part('.last'), part('.wait'), part('.badge')] as const;
    const before = kind === 'others' && agent ? `${agent.name}${agents.has(agent.user) ? '' : ` (${t('desk.away')})`}: ` : '';
    line.textContent = before + (last?.text ?? t('desk.nothing-yet'));
    wait.dataset.since = kind === 'queue' ? String(conversation.since) : '';
    wait.textContent = kind === 'queue' ? '' : clock(last?.at ?? conversation.since);
    badge.hidden = kind === 'over' || unread.agent.length === 0;
    badge.textContent = String(unread.agent.length);
    badge.setAttribute('aria-label', t('desk.unread', { n: unread.agent.length }));
    if (id === chosen) item.firstElementChild!.setAttribute('aria-current', 'true');
    else item.firstElementChild!.removeAttribute('aria-current');
    return item;
  }

  /** How long everybody in the queue has waited. */
  private tick(): void {
    for (const item of this.items.values()) {
      const wait = item.querySelector<HTMLElement>('.wait')!;
      if (!wait.dataset.since) {
        wait.classList.remove('long');
        continue;
      }
      const waited = Math.max(0, Date.now() - Number(wait.dataset.since));
      wait.textContent = duration(waited);
      wait.classList.toggle('long', waited > impatient);
    }
  }
}

function kindOf({ closed, agent }: Conversation, user: string): Kind {
  if (closed) return 'over';
  if (!agent) return 'queue';
  return agent.user === user ? 'mine' : 'others';
}

function section(kind: Kind) {
  const [title, count, list] = [make('span'), make('span', 'count'), make('ul')];
  say(title, `desk.${kind}`);
  const element = make('section', `list ${kind}`, make('h2', '', title, ' ', count), list);
  return { element, list, count };
}

/** Puts the items in their order, and leaves the focus where it is. */
function reorder(list: HTMLElement, items: HTMLElement[]): void {
  const focused = document.activeElement as HTMLElement | null;
  list.replaceChildren(...items);
  if (focused && list.contains(focused)) focused.focus();
}

/** 0:07, 12:30, 3:05:00 */
function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (n: number) => String(n).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  return `${hours ? `${hours}:${two(Math.floor(seconds / 60) % 60)}` : Math.floor(seconds / 60)}:${two(seconds % 60)}`;
}
