// The call page: a lobby, and a room for two.

import './style.css';
import { DuplexError } from 'duplex-client';
import { $, avatar, showError } from '../shared/dom.js';
import { has, locale } from '../shared/i18n.js';
import { start } from '../shared/shell.js';
import { load, save } from '../shared/store.js';
import { toast } from '../shared/toast.js';
import { Call, unfinished } from './call.js';
import { Media, type Kind } from './media.js';
import { texts } from './texts.js';

const { t, say, connect, onLanguage } = start(texts);
const client = connect();
const media = new Media();
let call: Call | undefined;

const enteredKey = 'duplex.call.room'; // of the tab
const roomName = /^[\p{L}\p{M}\p{Nd}_-]{1,32}$/u;
const remote = $<HTMLVideoElement>('remote');
const local = $<HTMLVideoElement>('local');

// --- the lobby

const suggested = () => `${['tea', 'sun', 'elm', 'owl', 'sea'][Math.floor(Math.random() * 5)]}-${100 + Math.floor(Math.random() * 900)}`;

function wanted(): string {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return '';
  }
}

$<HTMLInputElement>('room-field').value = wanted() || suggested();
$('lobby').addEventListener('submit', (event) => {
  event.preventDefault();
  const name = $<HTMLInputElement>('room-field').value.trim();
  showError($('lobby-error'), roomName.test(name) ? undefined : t('error.call.bad-room'));
  if (roomName.test(name)) void enter(name);
});
addEventListener('hashchange', () => {
  if (!call) $<HTMLInputElement>('room-field').value = wanted();
});

async function enter(name: string): Promise<void> {
  showError($('lobby-error'));
  $<HTMLButtonElement>('enter').disabled = true;
  await media.open();
  local.srcObject = media.stream;
  $<HTMLButtonElement>('enter').disabled = false;
  $('lobby').hidden = true;
  $('room').hidden = false;
  $('room-name').textContent = name;
  history.replaceState(null, '', `#${encodeURIComponent(name)}`);
  $<HTMLInputElement>('link').value = location.href;
  save(sessionStorage, enteredKey, name);
  call = new Call(client, name, media, {
    changed: () => queueMicrotask(show),
    remote: (stream) => void play(stream),
    refused: (error) => {
      leave();
      showError($('lobby-error'), explain(error));
    },
  });
  show();
  $('room-name').scrollIntoView({ block: 'nearest' });
}

function explain(error: DuplexError): string {
  return has(`error.${error.code}`) ? t(`error.${error.code}` as keyof typeof texts.en) : error.message;
}

function leave(): void {
  call?.close();
  call = undefined;
  media.close();
  local.srcObject = null;
  void play(null);
  save(sessionStorage, enteredKey, '');
  $('lobby').hidden = false;
  $('room').hidden = true;
}

// --- the other side's sound and picture

async function play(stream: MediaStream | null): Promise<void> {
  $('sound').hidden = true;
  if (remote.srcObject !== stream) remote.srcObject = stream;
  if (!stream) return;
  try {
    remote.muted = false;
    await remote.play();
  } catch (error) {
    if ((error as DOMException).name !== 'NotAllowedError') return;
    // The browser wants a click before there is sound, as after a reload.
    remote.muted = true;
    $('sound').hidden = false;
    await remote.play().catch(() => undefined);
  }
}

$('sound').onclick = () => {
  remote.muted = false;
  $('sound').hidden = true;
};

// --- the room

function show(): void {
  if (!call) return;
  const { state, ending, name, theirs, unreachable } = call;
  say($('call-state'), `state.call.${state}`);
  $('call-state').className = `pill ${{ connected: 'good', away: 'warn', ringing: 'info', calling: 'info', connecting: 'info' }[state as string] ?? ''}`;
  $('room').dataset.state = state;
  const pictured = state === 'connected' && theirs.video;
  $('curtain').hidden = pictured;
  $('face').replaceChildren(...(name && state !== 'alone' ? [avatar(name)] : []));
  say($('curtain-text'), ending ? `ending.${ending}` : `curtain.${state}`, { name });
  say($('curtain-more'), ending ? `curtain.${state}` : `more.${state}`, { name });
  for (const [id, states] of Object.entries({
    call: ['together'], accept: ['ringing'], decline: ['ringing'], cancel: ['calling'], 'hang-up': ['connecting', 'connected', 'away'],
  })) $(id).hidden = !states.includes(state);
  $('other-name').hidden = !pictured;
  $('other-name').textContent = theirs.audio ? name : t('room.muted', { name });
  showOwn('microphone', 'audio');
  showOwn('camera', 'video');
  $('own').classList.toggle('off', !media.sends('video'));
  const note = unreachable ? 'note.unreachable' : media.problem && `note.${media.problem}`;
  $('note').hidden = !note;
  if (note) say($('note'), note as keyof typeof texts.en, { name });
  tick();
}

function showOwn(id: 'microphone' | 'camera', kind: Kind): void {
  const on = media.sends(kind);
  $(id).setAttribute('aria-pressed', String(on));
  say($(id), `${id}.${on ? 'on' : 'off'}`);
}

function tick(): void {
  const since = call?.since ?? 0;
  $('duration').hidden = !since;
  if (!since) return;
  const seconds = Math.max(0, Math.floor((Date.now() - since) / 1000));
  const two = (n: number) => n.toLocaleString(locale(), { minimumIntegerDigits: 2 });
  $('duration').textContent = `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`;
}
setInterval(tick, 500);

const press = (id: string, what: (call: Call) => void) => {
  $(id).onclick = () => call && what(call);
};
press('call', (one) => one.ring());
press('accept', (one) => one.accept());
press('decline', (one) => one.decline());
press('cancel', (one) => one.hangUp());
press('hang-up', (one) => one.hangUp());
press('leave', leave);
press('microphone', (one) => void one.toggle('audio'));
press('camera', (one) => void one.toggle('video'));
$('copy').onclick = async () => {
  const link = $<HTMLInputElement>('link');
  link.select();
  try {
    await navigator.clipboard.writeText(link.value);
    toast(t('room.copied'));
  } catch {
    toast(t('room.copy-by-hand'));
  }
};
onLanguage(show);
addEventListener('pagehide', () => call?.interrupt());

const before = unfinished()?.room ?? load(sessionStorage, enteredKey);
if (before) void enter(before);
