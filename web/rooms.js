// The rooms to choose from and the people in this one.

import { $, avatar, make } from './dom.js';
import { locale, t } from './i18n.js';

const storageKey = 'duplex.rooms';
const maxRecent = 8;

/** Rooms that this browser has been in, the latest first. */
export function recentRooms() {
  try {
    const rooms = JSON.parse(localStorage.getItem(storageKey));
    return Array.isArray(rooms) ? rooms.filter((room) => typeof room === 'string') : [];
  } catch {
    return [];
  }
}

export function rememberRoom(room) {
  try {
    localStorage.setItem(storageKey, JSON.stringify([room, ...recentRooms().filter((one) => one !== room)].slice(0, maxRecent)));
  } catch {
    // not remembered, then
  }
}

/** What a message may be: characters of a text, bytes of a picture. The server says it with its rooms. */
export const limits = { text: 4000, picture: 8 * 2 ** 20 };

/** The rooms that the server offers to everybody, as { name, members }. */
export async function offeredRooms() {
  try {
    const response = await fetch('chat/rooms', { cache: 'no-store' });
    const answer = await response.json();
    Object.assign(limits, answer.limits);
    return answer.rooms;
  } catch {
    return [];
  }
}

export const roomLink = (room) => new URL(`?room=${encodeURIComponent(room)}`, location.href).href;

/** Lists rooms as links, so that they can be opened in a new tab too. */
export async function showRooms(current, choose) {
  const offered = await offeredRooms();
  const counts = new Map(offered.map(({ name, members }) => [name, members]));
  const names = [...new Set([...counts.keys(), current, ...recentRooms()])];
  $('rooms').replaceChildren(...names.map((name) => {
    const link = make('a', '', make('span', 'hash', '#'), make('span', 'room', name));
    link.href = roomLink(name);
    if (name === current) link.setAttribute('aria-current', 'page');
    else if (counts.get(name)) link.append(make('span', 'count', String(counts.get(name))));
    link.onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      choose(name);
    };
    return make('li', '', link);
  }));
}

export function showPeople(names, own) {
  const sorted = [...names].sort((a, b) => a.localeCompare(b, locale()));
  $('people').replaceChildren(...sorted.map((name) => {
    const item = make('li', '', avatar(name), make('span', 'who', name));
    if (name === own) item.append(make('span', 'you', t('people.you')));
    return item;
  }));
  $('people-count').textContent = String(names.length);
  $('room-count').textContent = t('people.count', { n: names.length });
}
