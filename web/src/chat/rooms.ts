// The rooms to choose from and the people in this one.

import { at } from '../shared/connection.js';
import { $, avatar, make } from '../shared/dom.js';
import { label, locale, t } from '../shared/i18n.js';
import { load, save } from '../shared/store.js';

const storageKey = 'duplex.rooms';
const maxRecent = 8;

/** Rooms that this browser has been in, the latest first. */
export function recentRooms(): string[] {
  try {
    const rooms: unknown = JSON.parse(load(localStorage, storageKey) ?? '');
    return Array.isArray(rooms) ? rooms.filter(isRoom) : [];
  } catch {
    return [];
  }
}

export function rememberRoom(room: string): void {
  save(localStorage, storageKey, JSON.stringify([room, ...recentRooms().filter((one) => one !== room)].slice(0, maxRecent)));
}

/** What the server takes for the name of a room. */
export const isRoom = (name: unknown): name is string => typeof name === 'string' && /^[\p{L}\p{M}\p{Nd}_-]{1,32}$/u.test(name);

/** What a message may be: characters of a text, bytes of a picture. The server says it with its rooms. */
export const limits = { text: 4000, picture: 8 * 2 ** 20 };

interface Offered {
  name: string;
  members: number;
}

/** The rooms that the server offers to everybody. */
export async function offeredRooms(): Promise<Offered[]> {
  try {
    const response = await fetch(at('chat/rooms'), { cache: 'no-store' });
    const answer = (await response.json()) as { rooms: Offered[]; limits: typeof limits };
    Object.assign(limits, answer.limits);
    return answer.rooms;
  } catch {
    return [];
  }
}

export const roomLink = (room: string) => new URL(`?room=${encodeURIComponent(room)}`, location.href).href;

let shown = 0; // how often rooms were listed: a list that comes late is not shown

/** Lists rooms as links, so that they can be opened in a new tab too. unread says how much somebody has not read there. */
export async function showRooms(current: string, unread: ReadonlyMap<string, number>, choose: (room: string) => void): Promise<void> {
  const turn = ++shown;
  const offered = await offeredRooms();
  if (turn !== shown) return;
  const names = [...new Set([...offered.map(({ name }) => name), current, ...recentRooms()])];
  $('rooms').replaceChildren(...names.map((name) => {
    const link = make('a', '', make('span', 'hash', '#'), make('span', 'room', name));
    link.href = roomLink(name);
    link.dataset.room = name;
    if (name === current) link.setAttribute('aria-current', 'page');
    else link.append(members(offered.find((one) => one.name === name)?.members ?? 0));
    link.onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      choose(name);
    };
    return make('li', '', link);
  }));
  showUnread(unread);
}

function members(count: number): HTMLElement {
  const shown = make('span', 'members-count muted', String(count));
  label(shown, 'people.count', { n: count });
  shown.hidden = count === 0;
  return shown;
}

/** Marks the rooms in which something was said that is not read. */
export function showUnread(unread: ReadonlyMap<string, number>): void {
  let total = 0;
  for (const link of document.querySelectorAll<HTMLElement>('#rooms a')) {
    const count = link.hasAttribute('aria-current') ? 0 : unread.get(link.dataset.room!) ?? 0;
    total += count;
    link.querySelector('.badge')?.remove();
    link.classList.toggle('has-unread', count > 0);
    if (count > 0) link.append(badge(make('span', 'badge'), count));
  }
  const elsewhere = $('elsewhere');
  elsewhere.hidden = total === 0;
  badge(elsewhere, total);
}

const maxShown = 99;

function badge(element: HTMLElement, count: number): HTMLElement {
  element.textContent = count > maxShown ? `${maxShown}+` : String(count);
  label(element, 'rooms.unread', { n: count });
  return element;
}

export function showPeople(names: string[], own: string): void {
  const sorted = [...names].sort((a, b) => a.localeCompare(b, locale()));
  $('people').replaceChildren(...sorted.map((name) => {
    const item = make('li', '', avatar(name), make('span', 'who', name));
    if (name === own) item.append(make('span', 'you', t('people.you')));
    return item;
  }));
  $('people-count').textContent = String(names.length);
  $('room-count').textContent = t('people.count', { n: names.length });
}
