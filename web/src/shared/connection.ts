// The page's connection to the hub, and how it is, in the header: connected; disconnected, why and when the next attempt is; refused.

import { Client, type ClientOptions, type StateChange } from 'duplex-client';
import { $ } from './dom.js';
import { onLanguage, say, t } from './i18n.js';
import { load, save } from './store.js';

/** How the connection is. `ended`: this tab's session goes on in another one. */
export type State =
  | { name: 'connecting' }
  | { name: 'open' }
  | { name: 'waiting'; reason: string; code?: number; retryAt: number }
  | { name: 'refused'; text: string; code: string }
  | { name: 'ended' };

const storageKey = 'duplex.session';
const listeners = new Set<(state: State) => void>();
let state: State = { name: 'connecting' };
let client: Client | undefined;
let opened = false; // this attempt has been answered
let countdown = 0;

/** Calls listener with the state of the connection, now and after each change. */
export function onState(listener: (state: State) => void): void {
  listeners.add(listener);
  listener(state);
}

/** The address of something that the server has, from its root. */
export const at = (path: string) => new URL(`${document.documentElement.dataset.base}/${path}`, location.href).href;

/** The page's connection, under a name that others see if one is given. It continues the tab's session after a reload. */
export function connect(name?: string, options: ClientOptions = {}): Client {
  const url = at('ws').replace(/^http/, 'ws');
  client = new Client(url, { ...(name && { info: { name } }), resume: earlier(name), ...options });
  client.on('state', (change) => changed(change, name));
  show({ name: 'connecting' });
  return client;
}

/** Forgets the tab's session: the next connection is somebody else. */
export const forget = () => save(sessionStorage, storageKey, '');

function changed({ state: now, code, error, after }: StateChange, name = ''): void {
  const wasOpen = opened;
  opened = now === 'open';
  if (now === 'open') {
    // Who has this secret is this tab: a page that was reloaded, or a tab that was duplicated.
    save(sessionStorage, storageKey, JSON.stringify({ name, resume: client!.session?.resume }));
    show({ name: 'open' });
  } else if (now === 'waiting') {
    show({ name: 'waiting', reason: reasonOf(code, error, wasOpen), code, retryAt: Date.now() + (after ?? 0) });
  } else if (now === 'closed') {
    if (code === 1000) return;
    show(error?.code === 'replaced' || code === 4409 ? { name: 'ended' } : { name: 'refused', text: error?.message ?? '', code: error?.code ?? '' });
  } else if (now === 'connecting') {
    show({ name: 'connecting' });
  }
}

/** What lets this tab go on with its session. */
function earlier(name = ''): string | undefined {
  try {
    const stored = JSON.parse(load(sessionStorage, storageKey) ?? '');
    return stored.name === name ? stored.resume : undefined;
  } catch {
    return undefined;
  }
}

/** Why a connection is gone, as a key of the texts. */
function reasonOf(code: number | undefined, error: StateChange['error'], wasOpen: boolean): string {
  if (!navigator.onLine) return 'offline';
  if (error?.code === 'restart' || code === 1001 || code === 1012) return 'restart';
  if (code === 1013) return 'slow';
  if (code === 4503) return 'busy';
  if (code !== undefined && code !== 1006) return 'closed';
  if (!wasOpen) return 'unreachable';
  return /^no sign of life/.test(error?.message ?? '') ? 'silent' : 'lost';
}

// --- what is shown of it

function show(next: State): void {
  const before = state;
  state = next;
  clearInterval(countdown);
  const pill = $('state');
  pill.hidden = false;
  pill.dataset.state = next.name;
  say($('state-text'), `state.${next.name}`);
  const banner = $('banner');
  const [title, detail, action] = [$('banner-title'), $('banner-detail'), $('banner-action')];
  // An attempt that was made while the banner is there leaves it, so that the page does not jump.
  banner.hidden = next.name === 'open' || next.name === 'connecting' && (banner.hidden || before.name === 'ended');
  banner.dataset.state = next.name;
  action.hidden = next.name === 'connecting';
  detail.textContent = '';
  if (next.name === 'connecting') say(title, 'banner.connecting');
  if (next.name === 'ended') say(title, 'banner.ended');
  if (next.name === 'refused') say(title, 'banner.refused', { text: next.text });
  if (next.name === 'waiting') {
    const { reason, code, retryAt } = next;
    title.textContent = t('banner.waiting', { reason: t(`reason.${reason}`, { code }) });
    delete title.dataset.i18n;
    const tick = () => say(detail, 'banner.countdown', { seconds: Math.max(0, Math.ceil((retryAt - Date.now()) / 1000)) });
    tick();
    countdown = window.setInterval(tick, 250);
  }
  say(action, next.name === 'ended' ? 'banner.here' : 'banner.retry');
  for (const listener of listeners) listener(next);
}

/** Makes the header's pill and banner work. */
export function wire(): void {
  $('banner-action').addEventListener('click', () => client?.connect());
  $('state').hidden = true; // until there is a connection to speak of
  onLanguage(() => client && state.name === 'waiting' && show(state));
}
