// The page: coming in, one conversation at a time, and what surrounds it.

import { Composer } from './composer.js';
import { Connection } from './connection.js';
import { $, make, showError } from './dom.js';
import { has, onLanguage, say, switchLanguage, t, translate } from './i18n.js';
import { Outbox } from './outbox.js';
import { offeredRooms, rememberRoom, roomLink, showPeople, showRooms } from './rooms.js';
import { Timeline } from './timeline.js';
import { randomID } from './wire.js';

const composer = new Composer();
const outboxes = new Map(); // room -> what waits to be sent there
let conversation = null;
let unread = 0;
let token = '';

/** Everything that belongs to being in one room under one name. */
class Conversation {
  people = new Set();
  #welcomed = false;

  constructor(room, name) {
    this.room = room;
    this.name = name;
    this.listening = new AbortController();
    const { signal } = this.listening;
    this.outbox = outboxes.get(room) ?? new Outbox();
    outboxes.set(room, this.outbox);
    this.timeline = new Timeline(name);
    this.connection = new Connection({ room, name, token: tabToken() });
    this.outbox.addEventListener('change', ({ detail }) => this.timeline.showPending(detail), { signal });
    this.timeline.addEventListener('discard', ({ detail }) => this.outbox.discard(detail));
    this.timeline.addEventListener('enlarge', ({ detail }) => enlarge(detail));
    this.connection.addEventListener('state', ({ detail }) => this.#stateChanged(detail));
    this.connection.addEventListener('frame', ({ detail }) => this.#receive(detail));
    for (const item of this.outbox.items) this.timeline.showPending(item);
    this.connection.open();
  }

  close() {
    this.listening.abort();
    this.connection.close();
    this.outbox.stop();
    this.timeline.close();
  }

  showPeople() {
    showPeople(this.people, this.name);
  }

  #stateChanged(state) {
    if (state.name === 'open') this.outbox.start(this.connection);
    else this.outbox.stop();
    if (state.name === 'waiting') showApp(); // which says why, and when the next attempt is
    if (state.name === 'refused') {
      showEntry(() => refusalText(state.error, this), state.error.error.startsWith('room') ? 'entry-room' : 'entry-name');
    }
    showState();
  }

  #receive(frame) {
    const handle = this[`on_${frame.type}`];
    if (handle) handle.call(this, frame); // a newer server may say more than this page knows
  }

  on_welcome({ members, history, limits }) {
    this.limits = limits;
    composer.limits = limits;
    this.people = new Set(members);
    this.showPeople();
    this.timeline.expectHistory(history);
    if (this.#welcomed) return;
    this.#welcomed = true;
    showApp();
    rememberRoom(this.room);
    showRooms(this.room, enter);
  }

  on_message(message) {
    this.#show(message);
  }

  on_picture(picture) {
    this.#show(picture);
  }

  #show(message) {
    if (message.from === this.name) this.outbox.confirm(message.id);
    if (this.timeline.add(message) && document.hidden) setUnread(unread + 1);
  }

  on_accepted({ id, time }) {
    const item = this.outbox.confirm(id);
    if (!item) return;
    const message = { id, from: this.name, time: time ?? item.time, text: item.text };
    this.timeline.add(item.file ? { ...message, blob: item.file, name: item.file.name } : message);
  }

  on_error({ id, code, message, retry }) {
    const item = this.outbox.items.find((one) => one.id === id);
    const limit = code === 'picture-too-large' ? Math.floor(this.limits.picture / 2 ** 20) : this.limits.text;
    const text = has(`error.${code}`) ? t(`error.${code}`, { name: item?.file?.name, limit }) : t('error.other', { message });
    if (!this.outbox.refuse(id, text, retry)) composer.error(text);
  }

  on_joined({ name }) {
    this.people.add(name);
    this.showPeople();
    this.timeline.notice('log.joined', { name });
  }

  on_left({ name }) {
    this.people.delete(name);
    this.showPeople();
    this.timeline.notice('log.left', { name });
  }
}

// --- coming in and leaving

/** Goes to a room under a name, or under the present one. */
function enter(room, name = conversation?.name, { history = 'push' } = {}) {
  if (conversation?.room === room && conversation.name === name) {
    closeSide();
    return;
  }
  conversation?.close();
  save(localStorage, 'duplex.name', name);
  save(sessionStorage, 'duplex.in', '1');
  if (history === 'push' && roomLink(room) !== location.href) window.history.pushState(null, '', roomLink(room));
  $('room-title').textContent = room;
  say($('entry-submit'), 'entry.joining');
  setUnread(0);
  closeSide();
  conversation = new Conversation(room, name);
  conversation.showPeople();
  if (!$('app').hidden) composer.focus();
}

function leave() {
  conversation?.close();
  conversation = null;
  save(sessionStorage, 'duplex.in', '');
  showEntry();
}

function showApp() {
  if (!$('app').hidden) return;
  $('entry').hidden = true;
  $('app').hidden = false;
  composer.focus();
  conversation.timeline.toBottom();
}

let entryError = null; // makes the text, in the language of the moment

function showEntry(error = null, field = 'entry-name') {
  entryError = error;
  $('app').hidden = true;
  $('entry').hidden = false;
  closeSide();
  showError($('entry-error'), error?.());
  say($('entry-submit'), 'entry.join');
  $('entry-name').value ||= load(localStorage, 'duplex.name') ?? '';
  if (conversation || !$('entry-room').value) $('entry-room').value = conversation?.room ?? requestedRoom();
  for (const id of ['entry-name', 'entry-room']) $(id).setAttribute('aria-invalid', String(Boolean(error) && id === field));
  $(field).focus();
  showOffered();
  showState();
}

async function showOffered() {
  const rooms = await offeredRooms();
  $('entry-rooms').replaceChildren(...rooms.map(({ name, members }) => {
    const chip = make('button', 'chip', name);
    chip.type = 'button';
    if (members > 0) chip.append(make('span', 'count', String(members)));
    chip.onclick = () => { $('entry-room').value = name; };
    return make('li', '', chip);
  }));
}

function refusalText(error, { name, room }) {
  return has(`error.${error.error}`) ? t(`error.${error.error}`, { name, room }) : error.message ?? t('error.other', { message: '' });
}

const requestedRoom = () => new URLSearchParams(location.search).get('room') || 'lobby';

$('entry-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const name = tidy($('entry-name').value);
  const room = tidy($('entry-room').value).replaceAll(' ', '-');
  conversation?.close();
  conversation = null;
  showError($('entry-error'));
  enter(room, name);
});

/** One spelling for what looks the same. */
const tidy = (text) => text.normalize('NFC').trim().replace(/\s+/g, ' ');

$('room-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const room = tidy($('room-name').value).replaceAll(' ', '-');
  if (!room) return;
  const valid = /^[\p{L}\p{M}\p{Nd}_-]{1,32}$/u.test(room);
  showError($('room-error'), valid ? '' : t('error.room-malformed'));
  if (!valid) return;
  $('room-name').value = '';
  enter(room);
});

addEventListener('popstate', () => conversation && enter(requestedRoom(), conversation.name, { history: 'keep' }));

// --- writing

composer.addEventListener('submit', ({ detail: { text, files } }) => {
  if (!conversation) return;
  const { outbox } = conversation;
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  if (!outbox.hasRoom(files.length + (text ? 1 : 0), bytes)) {
    composer.error(t('error.queue-full'));
    return;
  }
  for (const file of files) outbox.addPicture(file);
  if (text) outbox.addText(text);
  composer.clear();
});

addEventListener('beforeunload', (event) => {
  if ([...outboxes.values()].some((outbox) => outbox.items.some((item) => item.state !== 'failed'))) event.preventDefault();
});

// --- the state of the connection

let countdown = 0;

function showState() {
  clearInterval(countdown);
  const state = conversation?.connection.state ?? { name: 'closed' };
  const shown = $('state');
  shown.dataset.state = state.name;
  if (has(`state.${state.name}`)) say($('state-text'), `state.${state.name}`);
  const banner = $('banner');
  banner.dataset.state = state.name;
  banner.hidden = !['waiting', 'ended'].includes(state.name) && !(state.name === 'connecting' && !banner.hidden);
  $('banner-action').hidden = state.name === 'connecting';
  $('banner-detail').textContent = '';
  if (state.name === 'connecting') say($('banner-title'), 'banner.connecting');
  if (state.name === 'ended') {
    say($('banner-title'), 'banner.ended');
    say($('banner-action'), 'banner.here');
  }
  if (state.name !== 'waiting') return;
  say($('banner-title'), 'banner.waiting', { reason: t(`reason.${state.reason}`, { code: state.code }) });
  say($('banner-action'), 'banner.retry');
  const tick = () => say($('banner-detail'), 'banner.countdown', { seconds: Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000)) });
  tick();
  countdown = setInterval(tick, 250);
}

$('banner-action').addEventListener('click', () => conversation?.connection.retry());

function setUnread(count) {
  unread = count;
  const room = conversation?.room ?? '';
  document.title = count > 0 ? t('notification.title', { n: count, room }) : [room, 'Duplex'].filter(Boolean).join(' · ');
}

document.addEventListener('visibilitychange', () => document.hidden || setUnread(0));

// --- a picture on its own

function enlarge({ url, from, name }) {
  const image = $('viewer-image');
  image.src = url;
  image.alt = t('picture.alt', { from, name });
  $('viewer-caption').textContent = `${from} · ${name}`;
  $('viewer-save').href = url;
  $('viewer-save').download = name;
  $('viewer').showModal();
}

$('viewer-close').addEventListener('click', () => $('viewer').close());
$('viewer').addEventListener('click', ({ target }) => target === $('viewer') && $('viewer').close());
$('viewer').addEventListener('close', () => $('viewer-image').removeAttribute('src'));

// --- buttons

const actions = {
  language: switchLanguage,
  leave,
  share,
  emoji: () => composer.toggleEmoji(),
  picture: () => composer.choosePicture(),
  'open-side': () => toggleSide(true),
  'close-side': () => closeSide(true),
};

document.addEventListener('click', ({ target }) => actions[target.closest('[data-action]')?.dataset.action]?.());

function toggleSide(open) {
  document.body.classList.toggle('side-open', open);
  $('open-side').setAttribute('aria-expanded', String(open));
  if (!open) return;
  showRooms(conversation.room, enter);
  $('side').querySelector('[data-action="close-side"]').focus();
}

function closeSide(refocus = false) {
  const open = document.body.classList.contains('side-open');
  toggleSide(false);
  if (open && refocus) $('open-side').focus();
}

addEventListener('keydown', ({ key }) => key === 'Escape' && closeSide(true));

let toastTimer = 0;

async function share() {
  const link = roomLink(conversation.room);
  let copied = true;
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    copied = false; // not allowed, or a page without TLS: then the link is shown to be copied by hand
  }
  say($('toast-text'), copied ? 'share.copied' : 'share.manual');
  $('toast-link').hidden = copied;
  $('toast-link').value = link;
  $('toast').hidden = false;
  if (!copied) $('toast-link').select();
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $('toast').hidden = true; }, copied ? 3000 : 15_000);
}

// --- what this browser remembers

function load(storage, key) {
  try {
    return storage.getItem(key);
  } catch {
    return null;
  }
}

function save(storage, key, value) {
  try {
    storage.setItem(key, value);
  } catch {
    // not remembered, then
  }
}

/** Proves to the server that a connection comes from the same tab as an earlier one, which may then be replaced. */
function tabToken() {
  token ||= load(sessionStorage, 'duplex.token') || randomID();
  save(sessionStorage, 'duplex.token', token);
  return token;
}

// --- start

function showLanguage() {
  for (const button of document.querySelectorAll('.lang')) {
    button.textContent = t('lang.other');
    button.title = t('lang.switch');
    button.lang = t('lang.other') === 'English' ? 'en' : 'zh-CN';
  }
  setUnread(unread);
}

onLanguage(() => {
  showLanguage();
  if (!$('entry-error').hidden) showError($('entry-error'), entryError());
  showState();
  conversation?.showPeople();
});

translate();
showLanguage();
setUnread(0);
const name = load(localStorage, 'duplex.name');
if (name && load(sessionStorage, 'duplex.in')) {
  enter(requestedRoom(), name, { history: 'keep' });
  showApp(); // also when the server is away: then the page says so
} else showEntry();
