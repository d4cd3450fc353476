// The page: coming in, one conversation at a time, and what surrounds it.

import { Composer } from './composer.js';
import { Conversation } from './conversation.js';
import { $, make, showError } from './dom.js';
import { has, onLanguage, say, switchLanguage, t, translate } from './i18n.js';
import { problemOf, problemText } from './message.js';
import { offeredRooms, rememberRoom, roomLink, showRooms } from './rooms.js';
import { Session } from './session.js';
import { load, save } from './store.js';
import { Unsent } from './unsent.js';

const composer = new Composer();
const unsent = new Map(); // room -> what waits to be sent there
let session = null; // while we have a name
let conversation = null; // while we are in a room
let unread = 0;

// --- coming in and leaving

/** Goes to a room under a name, or under the present one. */
function enter(room, name = session?.name, { history = 'push' } = {}) {
  if (conversation?.room === room && session.name === name) {
    closeSide();
    return;
  }
  conversation?.close();
  if (session?.name !== name || session.state.name === 'refused') {
    session?.close();
    session = new Session(name);
  }
  save(localStorage, 'duplex.name', name);
  save(sessionStorage, 'duplex.in', '1');
  if (history === 'push' && roomLink(room) !== location.href) window.history.pushState(null, '', roomLink(room));
  $('room-title').textContent = room;
  say($('entry-submit'), 'entry.joining');
  setUnread(0);
  closeSide();
  if (!unsent.has(room)) unsent.set(room, new Unsent(`chat.${room}`));
  conversation = new Conversation(room, session, unsent.get(room));
  conversation.addEventListener('state', stateChanged);
  conversation.addEventListener('entered', entered);
  conversation.addEventListener('news', () => document.hidden && setUnread(unread + 1));
  conversation.addEventListener('enlarge', ({ detail }) => enlarge(detail));
  conversation.showPeople();
  stateChanged();
  if (!$('app').hidden) composer.focus();
}

function stateChanged() {
  const { name, error } = conversation.state;
  if (name === 'waiting') showApp(); // which says why, and when the next attempt is
  if (name === 'refused') {
    const { room } = conversation;
    const text = () => problemText(error, { name: session.name, room });
    showEntry(text, problemOf(error).startsWith('room') ? 'entry-room' : 'entry-name');
  }
  showState();
}

function entered() {
  showApp();
  rememberRoom(conversation.room);
  showRooms(conversation.room, enter);
}

function leave() {
  conversation?.close();
  session?.close();
  conversation = session = null;
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

addEventListener('popstate', () => conversation && enter(requestedRoom(), session.name, { history: 'keep' }));

// --- writing

composer.addEventListener('submit', ({ detail: { text, files } }) => {
  if (!conversation) return;
  const { unsent: queue } = conversation;
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  if (!queue.hasRoom(files.length + (text ? 1 : 0), bytes)) {
    composer.error(t('error.queue-full'));
    return;
  }
  for (const file of files) queue.add({ file });
  if (text) queue.add({ text });
  composer.clear();
});

addEventListener('beforeunload', (event) => {
  if ([...unsent.values()].some(({ items }) => items.some((item) => item.state !== 'failed'))) event.preventDefault();
});

// --- the state of the connection

let countdown = 0;

function showState() {
  clearInterval(countdown);
  const state = conversation?.state ?? { name: 'closed' };
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

$('banner-action').addEventListener('click', () => session?.retry());

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
