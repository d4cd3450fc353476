// The arena page: snapshots come by one subscription, inputs go by another topic.

import './style.css';
import { DuplexError } from 'duplex-client';
import { $, make, showError } from '../shared/dom.js';
import { has } from '../shared/i18n.js';
import { start } from '../shared/shell.js';
import { Controls } from './controls.js';
import { Painter } from './draw.js';
import { Game } from './game.js';
import { Average, Rate, speed } from './meters.js';
import { step, tickTime } from './rules.js';
import { isFull, read } from './snapshot.js';
import { texts } from './texts.js';

const { t, say, connect, onLanguage } = start(texts);
const inTopic = 'demo.arena.in';
const shownRanks = 8;
const patience = 1_500; // ms to wait for one's ship before asking again

const game = new Game();
const stage = $('stage');
const painter = new Painter($<HTMLCanvasElement>('canvas'));
const controls = new Controls(stage, () => painter.own);
const [bytes, ticks] = [new Rate(), new Rate()];
const ping = new Average();
let playing = false; // this visitor wants to
let asked = -Infinity; // when a ship was asked for
let joined = false; // the server has heard it, and counts inputs from 1
let number = 0; // of the last input
let inputAt = performance.now();
let fullSize = 0;

// Before the client is there, whose own listener leaves no connection to say goodbye by.
addEventListener('pagehide', () => playing && client.publish(inTopic, { do: 'leave' }, { volatile: true }).catch(() => {}));
const client = connect();
client.on('state', ({ state }) => {
  if (state === 'open') game.user = client.session!.user;
});
client.subscribe<Uint8Array>('demo.arena.ticks', {
  last: 22, // the last full snapshot is among them
  onMessage: ({ data }) => {
    const now = performance.now();
    bytes.add(data.length, now);
    ticks.add(1, now);
    if (isFull(data)) fullSize = data.length;
    game.take(data, now);
  },
});

/** Asks for a ship, also when this one was lost with a server. */
function join(now: number): void {
  if (now - asked < patience || client.state !== 'open') return;
  asked = now;
  number = 0;
  client.publish(inTopic, { do: 'join' }, { volatile: true }).then(() => { joined = true; }, failed);
}

const passing = ['offline', 'outbox-full', 'unanswered', 'unavailable', 'closed', 'rate'];

function failed(error: unknown): void {
  // What did not get through need not, and what is too much is left out: the next input will do.
  if (!(error instanceof DuplexError) || passing.includes(error.code)) return;
  const key = `error.${error.code}`;
  showError($('problem'), has(key) ? t(key as 'error.demo.name-malformed') : t('error.other', { text: error.message }));
  if (error.code === 'demo.name-malformed') play(false);
}

/** One tick of this page: an input is sent, and done at once. */
function act(now: number): void {
  const input = controls.input();
  number = (number + 1) & 0xffff;
  const sent = performance.now();
  const data = new Uint8Array([number & 255, number >> 8, input.x, input.y, Number(input.dash)]);
  client.publish(inTopic, data, { volatile: true }).then(() => ping.add(performance.now() - sent), failed);
  game.act(number, input, now);
}

function play(yes: boolean): void {
  playing = yes;
  $('invite').hidden = yes;
  $('leave').hidden = $('dash').hidden = !yes;
  asked = -Infinity;
  joined = false;
  if (!yes) {
    client.publish(inTopic, { do: 'leave' }, { volatile: true }).catch(failed);
    $('play').focus();
    return;
  }
  showError($('problem'));
  stage.focus();
}

function frame(now: number): void {
  requestAnimationFrame(frame);
  if (now - inputAt > 5 * tickTime) inputAt = now - tickTime; // the page was hidden: what was missed is over
  for (; now - inputAt >= tickTime; inputAt += tickTime) {
    if (!playing) continue;
    if (!joined || !game.ship) join(now);
    else if (game.isLive(now)) act(inputAt + tickTime);
  }
  painter.draw(game, now, playing ? controls.stick : undefined);
}

// --- figures and ranks

function status(): string {
  if (!game.isLive(performance.now())) return t('arena.waiting');
  if (!playing) return t('arena.watching');
  if (!game.ship) return t(people() >= 50 ? 'arena.full' : 'arena.joining');
  return game.ship.out ? t('arena.out') : '';
}

const people = () => [...(game.view?.ships.values() ?? [])].filter(({ owner }) => owner).length;

function showFigures(): void {
  const now = performance.now();
  const { view } = game;
  const text = status();
  if ($('status').textContent !== text) $('status').textContent = text;
  if (!view) return;
  showBoard();
  say($('players'), 'arena.playersOf', { people: people(), bots: view.ships.size - people() });
  $('ping').textContent = ping.value === undefined ? '–' : `${Math.round(ping.value)} ms`;
  say($('tick'), 'arena.ticksOf', { rate: ticks.perSecond(now).toFixed(0) });
  $('cost').textContent = `${(view.cost / 1_000).toFixed(2)} ms`;
  $('bytes').textContent = speed(bytes.perSecond(now));
  $('fulls').textContent = speed(fullSize * 20);
  say($('ahead'), 'arena.inputs', { n: game.ahead });
  $('skipped').textContent = String(game.skipped);
}

function showBoard(): void {
  const ranked = [...game.view!.ships.values()].sort((a, b) => b.score - a.score || a.id - b.id);
  const own = game.ship;
  const rows = ranked.map((ship, i) => ({ ship, rank: i + 1 })).filter(({ ship, rank }) => rank <= shownRanks || ship === own);
  $('board').replaceChildren(...rows.map(({ ship, rank }) => {
    const row = make('li', `${ship.owner ? 'person' : ''}${ship === own ? ' own' : ''}`,
      make('span', 'rank', String(rank)), make('span', 'who', ship === own ? `${ship.name} (${t('arena.you')})` : ship.name),
      make('span', 'number', String(ship.score)));
    return row;
  }));
}

$('play').addEventListener('click', () => play(true));
$('leave').addEventListener('click', () => play(false));
$('dash').addEventListener('pointerdown', () => controls.wantDash());
$('dash').addEventListener('click', ({ detail }) => detail === 0 && controls.wantDash()); // by a key
stage.addEventListener('keydown', ({ key }) => {
  if (key === 'Escape' && playing) play(false);
});
onLanguage(showFigures);
setInterval(showFigures, 250);
requestAnimationFrame(frame);

/** For the curious, in the browser's console; and for tests. */
Object.assign(globalThis, { arena: { game, painter, step, read } });
