// The live page: a list of channels, one of which is watched, or broadcast on.

import './style.css';
import { $, make, showError } from '../shared/dom.js';
import { start } from '../shared/shell.js';
import { operate } from '../shared/operator.js';
import { toast } from '../shared/toast.js';
import { Broadcast, sizes } from './broadcast.js';
import { Channels, isChannel, type Channel } from './channels.js';
import { synchronise } from './clock.js';
import { Danmaku } from './danmaku.js';
import { showFigures } from './figures.js';
import { HouseForm, SayForm } from './forms.js';
import { animation, camera } from './source.js';
import { explain, Talk } from './talk.js';
import { texts } from './texts.js';
import { Watch } from './watch.js';

const { t, say, label, connect, me, onLanguage } = start(texts);
const client = connect();
synchronise(client);

const danmaku = new Danmaku($<HTMLCanvasElement>('flying'));
let room = ''; // the channel that is on the page
let watch: Watch | undefined;
let broadcast: Broadcast | undefined;
let talk: Talk | undefined;
let pictured = false; // there has been a picture

const houseForm = new HouseForm(() => talk);
new SayForm(() => talk);
const channels = new Channels(client, (changed) => {
  list();
  if (changed && changed.channel === room) follow(changed);
});

// --- the list

function list(): void {
  const live = channels.live;
  $('channels').replaceChildren(...live.map((channel) => {
    const link = make('a', 'chip', make('span', 'dot'), channel.channel, make('span', 'count', String(channel.viewers)));
    link.href = `#${encodeURIComponent(channel.channel)}`;
    link.dataset.channel = channel.channel;
    label(link, 'live.chip', { name: channel.channel, viewers: channel.viewers });
    if (channel.channel === room) link.setAttribute('aria-current', 'true');
    return make('li', '', link);
  }));
  $('nobody').hidden = room !== '' || live.length > 0;
  // Who has come to watch, and has not chosen, sees the channel that most others see.
  if (!room && !broadcast && live[0] && $('setup').hidden) enter(live[0].channel);
}

// --- a channel on the page

function open(name: string): void {
  if (room === name) return;
  leave();
  room = name;
  $('room').hidden = false;
  $('room-name').textContent = name;
  $('host-tools').hidden = true;
  curtain('curtain.waiting');
  houseForm.clear();
  talk = new Talk(client, name, danmaku, (house) => houseForm.show(house));
  list();
}

function enter(name: string): void {
  if (broadcast || !isChannel(name)) return;
  open(name);
  pictured = false;
  watch ??= new Watch(client, name, $<HTMLCanvasElement>('picture'), {
    picture: () => {
      if (pictured || !channels.get(name)?.live) return;
      pictured = true;
      curtain();
    },
    unable: (codec) => curtain('curtain.unable', { codec }),
  });
  const channel = channels.get(name);
  if (channel) follow(channel);
  else state(undefined);
}

/** Shows what has become of the channel on the page. */
function follow(channel: Channel): void {
  state(channel);
  if (broadcast) return;
  if (channel.live) {
    if (!watch) enter(room);
    if (!$('curtain').hidden && !pictured) curtain('curtain.waiting');
    watch?.update(channel);
  } else {
    pictured = false;
    curtain('curtain.ended', { name: channel.name });
  }
}

function state(channel: Channel | undefined): void {
  const live = channel?.live ?? false;
  say($('room-state'), live ? 'live.on' : 'live.off');
  $('room-state').className = live ? 'pill bad' : 'pill';
  say($('room-viewers'), 'live.viewers', { viewers: channel?.viewers ?? 0 });
  if (!channel && !broadcast) curtain('curtain.nobody');
}

function curtain(key?: keyof typeof texts.en, args?: object): void {
  $('curtain').hidden = !key;
  if (key) say($('curtain'), key, args);
}

function leave(): void {
  watch?.close();
  talk?.close();
  watch = talk = undefined;
  danmaku.clear();
  pictured = false;
}

const wanted = () => {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return '';
  }
};

addEventListener('hashchange', () => {
  const name = wanted();
  if (broadcast && name !== room) {
    history.replaceState(null, '', `#${encodeURIComponent(room)}`);
    toast(t('live.busy'));
  } else if (name) {
    enter(name);
  }
});

// --- broadcasting

const goLive = $<HTMLButtonElement>('go-live');

function setUp(open: boolean): void {
  $('setup').hidden = !open;
  goLive.setAttribute('aria-expanded', String(open));
  if (open) $('setup-channel').focus();
}

goLive.onclick = () => setUp($('setup').hidden !== false);
$<HTMLInputElement>('setup-channel').value = me.name.replace(/[^\p{L}\p{M}\p{Nd}_-]+/gu, '-').replace(/^-+|-+$/g, '') || 'studio';

$('setup').addEventListener('submit', async (event) => {
  event.preventDefault();
  const name = $<HTMLInputElement>('setup-channel').value.trim();
  showError($('setup-error'), isChannel(name) ? undefined : t('error.live.bad-channel'));
  if (!isChannel(name)) return;
  $<HTMLButtonElement>('setup-start').disabled = true;
  await begin(name).catch((error) => showError($('setup-error'), explainMedia(error)));
  $<HTMLButtonElement>('setup-start').disabled = false;
});

async function begin(name: string): Promise<void> {
  const size = $<HTMLSelectElement>('setup-size').value as keyof typeof sizes;
  const { width, height } = sizes[size];
  const source = $<HTMLSelectElement>('setup-source').value === 'camera' ? await camera(width, height) : animation();
  const jpeg = $<HTMLInputElement>('setup-jpeg').checked;
  const canvas = document.createElement('canvas');
  const started = await Broadcast.start(client, name, source, size, canvas, { ended: (error) => over(explain(error)) }, jpeg);
  setUp(false);
  goLive.hidden = true;
  leave();
  room = '';
  broadcast = started;
  $('picture').replaceWith(canvas);
  canvas.id = 'picture';
  canvas.setAttribute('role', 'img');
  label(canvas, 'live.picture');
  history.replaceState(null, '', `#${encodeURIComponent(name)}`);
  open(name);
  curtain();
  const channel = channels.get(name);
  if (channel) state(channel);
  $('host-tools').hidden = false;
  $<HTMLInputElement>('jpeg').checked = jpeg;
  say($('stat-delay-name'), 'stat.answer');
}

function explainMedia(error: unknown): string {
  if (!(error instanceof DOMException)) return explain(error);
  return t(error.name === 'NotAllowedError' || error.name === 'SecurityError' ? 'error.camera-denied' : 'error.camera-missing');
}

/** The page goes on as a viewer's. */
function over(text: string): void {
  broadcast?.close();
  broadcast = undefined;
  goLive.hidden = false;
  $('host-tools').hidden = true;
  $('audience').setAttribute('aria-pressed', 'false');
  say($('stat-delay-name'), 'stat.delay');
  curtain('curtain.over');
  toast(text);
}

$('stop').onclick = async () => {
  const stopping = broadcast;
  over(t('live.stopped'));
  await stopping?.stop().catch((error) => toast(explain(error)));
};

// Whoever closes the page has ended the broadcast; who only loses the connection has not. It is said before the client hangs up, which it
// does at the same event.
addEventListener('pagehide', () => void broadcast?.stop().catch(() => undefined), { capture: true });

$<HTMLInputElement>('jpeg').onchange = ({ target }) => {
  broadcast?.force((target as HTMLInputElement).checked).catch((error) => toast(explain(error)));
};

$('audience').onclick = async () => {
  const on = $('audience').getAttribute('aria-pressed') !== 'true';
  try {
    await client.request('demo.live.audience', { channel: room, on });
    $('audience').setAttribute('aria-pressed', String(on));
    if (on) setTimeout(() => $('audience').setAttribute('aria-pressed', 'false'), 60_000); // then the server ends it
  } catch (error) {
    toast(explain(error));
  }
};

$('moderate').onclick = () => {
  if (houseForm.isOpen) houseForm.close();
  else if (broadcast) houseForm.open();
  else void operate(client, () => houseForm.open()).catch((error) => toast(explain(error)));
};

// --- what flies, and figures

$('fly').onclick = () => {
  danmaku.on = !danmaku.on;
  $('fly').setAttribute('aria-pressed', String(danmaku.on));
};
if (matchMedia('(prefers-reduced-motion: reduce)').matches) $('fly').click();
$<HTMLInputElement>('opacity').oninput = ({ target }) => {
  $('flying').style.opacity = String(Number((target as HTMLInputElement).value) / 100);
};

const figures = () => showFigures((broadcast ?? watch)?.figures, talk?.rate ?? 0);
setInterval(figures, 500);
onLanguage(() => {
  list();
  figures();
});
if (wanted()) enter(wanted());
else list();
