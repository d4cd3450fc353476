// The chat: coming in under a name, one conversation at a time, and what surrounds it.

import './style.css';
import { onState } from '../shared/connection.js';
import { $, make, showError } from '../shared/dom.js';
import { isName, me, tidy } from '../shared/me.js';
import { start } from '../shared/shell.js';
import { load, save } from '../shared/store.js';
import { toast } from '../shared/toast.js';
import { Composer } from './composer.js';
import { Conversation } from './conversation.js';
import { Link } from './link.js';
import { problemOf, problemText } from './message.js';
import { isRoom, offeredRooms, rememberRoom, roomLink, showRooms, showUnread } from './rooms.js';
import { Search } from './search.js';
import { texts } from './texts.js';
import { Unread } from './unread.js';
import { Unsent } from './unsent.js';

const { t, say, onLanguage } = start(texts);
const entry = { form: $('entry-form'), name: $<HTMLInputElement>('entry-name'), room: $<HTMLInputElement>('entry-room'), error: $('entry-error') };
const newRoom = $<HTMLInputElement>('room-name');
const unsent = new Map<string, Unsent>(); // by room: what waits to be sent there
let link = new Link(me.name); // from the beginning, so that the page shows whether the server is there
let unread = new Unread(link.client, () => showUnread(unread.counts));
let conversation: Conversation | undefined; // while we are in a room
let news = 0; // messages that came while nobody looked

const composer = new Composer({
  submit: ({ text, files, reply }) => {
    if (!conversation) return;
    const queue = conversation.unsent;
    const bytes = files.reduce((sum, file) => sum + file.size, 0);
    if (!queue.hasRoom(files.length + (text ? 1 : 0), bytes)) {
      composer.error(t('error.queue-full'));
      return;
    }
    conversation.typing.typed(false);
    const first = files.length > 0 ? files[0] : undefined;
    for (const file of files) queue.add({ file, reply: !text && file === first ? reply : undefined });
    if (text) queue.add({ text, reply });
    composer.clear();
  },
  typed: (something) => conversation?.typing.typed(something),
  neighbour: (of, step) => conversation?.timeline.neighbour(of, step),
});

const search = new Search(() => link.client, () => conversation?.room ?? '', (at) => {
  if (!matchMedia('(min-width: 64rem)').matches) search.toggle(false); // it would be in the way
  void conversation?.jump(at);
});

// --- coming in and leaving

/** Becomes somebody with that name. */
function become(name: string): void {
  if (link.name === name) {
    if (link.client.state === 'closed') link.client.connect(); // the server has sent us away, or another tab has the session
    return;
  }
  unread.close();
  link.close();
  link = new Link(name);
  unread = new Unread(link.client, () => showUnread(unread.counts));
}

/** Goes to a room under a name, or under the present one. */
function enter(room: string, name = link.name, addToHistory = true): void {
  if (conversation?.room === room && conversation.link.name === name) {
    closeSide();
    return;
  }
  conversation?.close();
  become(name);
  me.choose(name);
  save(sessionStorage, 'duplex.in', '1');
  if (addToHistory && roomLink(room) !== location.href) history.pushState(null, '', roomLink(room));
  $('room-title').textContent = room;
  say($('entry-submit'), 'entry.joining');
  showNews(0);
  closeSide();
  search.toggle(false);
  composer.reply(undefined);
  if (!unsent.has(room)) unsent.set(room, new Unsent(`chat.${room}`));
  conversation = new Conversation(room, link, unsent.get(room)!, {
    state: stateChanged,
    entered,
    news: () => document.hidden && showNews(news + 1),
    reply: (message) => {
      composer.reply(message);
      composer.focus();
    },
  });
  conversation.showPeople();
  stateChanged();
  if (!$('app').hidden) {
    void showRooms(room, unread.counts, enter);
    composer.focus();
  }
}

function stateChanged(): void {
  const state = conversation?.state;
  if (!conversation || !state) return;
  $('chat').dataset.state = state;
  if (state === 'waiting') showApp(); // the page says why, and when the next attempt is
  const { error, room } = conversation;
  if (state !== 'refused' || !error) return;
  const { name } = link;
  conversation.close();
  conversation = undefined;
  showEntry(() => problemText(error, { name, room }), problemOf(error).startsWith('room') ? entry.room : entry.name, room);
}

function entered(): void {
  showApp();
  const { room } = conversation!;
  rememberRoom(room);
  unread.watch(room);
  void showRooms(room, unread.counts, enter);
}

function leave(): void {
  const room = conversation?.room;
  conversation?.close();
  conversation = undefined;
  unread.close();
  link.close();
  link = new Link(me.name);
  unread = new Unread(link.client, () => showUnread(unread.counts));
  save(sessionStorage, 'duplex.in', '');
  showEntry(undefined, entry.name, room);
}

function showApp(): void {
  if (!$('app').hidden) return;
  $('entry').hidden = true;
  $('app').hidden = false;
  composer.focus();
  conversation?.timeline.toBottom();
}

let problem: (() => string) | undefined; // in the language of the moment

/** Asks who one is and where to go; focus is on the field that needs it, unless the page has just been opened. */
function showEntry(error?: () => string, field?: HTMLInputElement, room = requestedRoom()): void {
  problem = error;
  $('app').hidden = true;
  $('entry').hidden = false;
  closeSide();
  showNews(0);
  showError(entry.error, error?.());
  say($('entry-submit'), 'entry.join');
  entry.name.value ||= me.name;
  entry.room.value ||= room;
  for (const input of [entry.name, entry.room]) input.setAttribute('aria-invalid', String(Boolean(error) && input === field));
  field?.focus();
  void showOffered();
}

async function showOffered(): Promise<void> {
  const rooms = await offeredRooms();
  $('entry-rooms').replaceChildren(...rooms.map(({ name, members }) => {
    const chip = make('button', 'chip', name);
    chip.type = 'button';
    if (members > 0) chip.append(make('span', 'count', String(members)));
    chip.onclick = () => { entry.room.value = name; };
    return make('li', '', chip);
  }));
}

const requestedRoom = () => new URLSearchParams(location.search).get('room') || 'lobby';
const roomIn = (input: HTMLInputElement) => tidy(input.value).replaceAll(' ', '-');

entry.form.addEventListener('submit', (event) => {
  event.preventDefault();
  const [name, room] = [tidy(entry.name.value), roomIn(entry.room)];
  if (!isName(name)) showEntry(() => t('error.name-malformed'), entry.name);
  else if (!isRoom(room)) showEntry(() => t('error.room-malformed'), entry.room);
  else {
    showError(entry.error);
    enter(room, name);
  }
});

$('room-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const room = roomIn(newRoom);
  if (!room) return;
  showError($('room-error'), isRoom(room) ? '' : t('error.room-malformed'));
  if (!isRoom(room)) return;
  newRoom.value = '';
  enter(room);
});

addEventListener('popstate', () => conversation && enter(requestedRoom(), link.name, false));

addEventListener('beforeunload', (event) => {
  if ([...unsent.values()].some(({ items }) => items.some((item) => item.state !== 'failed'))) event.preventDefault();
});

// --- what came while nobody looked

function showNews(count: number): void {
  news = count;
  const room = conversation?.room;
  document.title = count > 0 ? t('notification.title', { n: count, room: room! }) : `${room ?? $('site-title').textContent} · Duplex`;
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden) conversation?.timeline.away();
  else {
    showNews(0);
    conversation?.timeline.look();
  }
});

// --- buttons

const actions: Record<string, () => void> = {
  leave,
  share: () => void share(),
  search: () => search.toggle(),
  'close-search': () => search.toggle(false),
  emoji: () => composer.toggleEmoji(),
  picture: () => composer.choosePicture(),
  'open-side': () => toggleSide(true),
  'close-side': () => closeSide(true),
};

document.addEventListener('click', ({ target }) => actions[(target as Element).closest<HTMLElement>('[data-action]')?.dataset.action ?? '']?.());

function toggleSide(open: boolean): void {
  document.body.classList.toggle('side-open', open);
  $('open-side').setAttribute('aria-expanded', String(open));
  if (!open || !conversation) return;
  void showRooms(conversation.room, unread.counts, enter);
  $('side').querySelector<HTMLElement>('[data-action="close-side"]')!.focus();
}

function closeSide(refocus = false): void {
  const open = document.body.classList.contains('side-open');
  toggleSide(false);
  if (open && refocus) $('open-side').focus();
}

addEventListener('keydown', ({ key }) => key === 'Escape' && closeSide(true));

async function share(): Promise<void> {
  const address = roomLink(conversation!.room);
  try {
    await navigator.clipboard.writeText(address);
    toast(t('share.copied'));
  } catch {
    toast(t('share.manual', { link: address })); // not allowed, or a page without TLS
  }
}

// --- start

onLanguage(() => {
  showNews(news);
  if (!entry.error.hidden && problem) showError(entry.error, problem());
  conversation?.showPeople();
});

onState(({ name }) => {
  if (name === 'open' && !$('entry').hidden) void showOffered();
});

showNews(0);
if (me.chosen && load(sessionStorage, 'duplex.in')) {
  enter(requestedRoom(), me.name, false);
  showApp(); // also when the server is away: then the page says so
} else showEntry();
