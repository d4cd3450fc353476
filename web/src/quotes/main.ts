// The quotes page: one subscription for the whole table, one for each symbol that is looked at, and a line that can be made slow.

import './style.css';
import { DuplexError } from 'duplex-client';
import { onState } from '../shared/connection.js';
import { $, showError } from '../shared/dom.js';
import { has } from '../shared/i18n.js';
import { operate } from '../shared/operator.js';
import { start } from '../shared/shell.js';
import { Detail } from './detail.js';
import { Line } from './line.js';
import { Market, type Listing, type Quote } from './market.js';
import { Meter } from './meter.js';
import { Table } from './table.js';
import { texts } from './texts.js';
import { Watch } from './watch.js';

const { t, say, connect, onLanguage } = start(texts);
const client = connect();
const meter = new Meter(client);
const line = new Line(client, { conflated: (count) => meter.leftOut(count), away: () => tellLine(true), changed: () => tellLine() });
const choose = (quote: Quote) => detail.choose(quote);
const watch = new Watch(line, { choose, changed: () => soon() });
const hands = { choose, toggle: (quote: Quote) => watch.toggle(quote), isWatched: watch.has };
const table = new Table(hands);
const detail = new Detail(line, { ...hands, problem });

void open();

/** Asks which symbols there are, until that is known. */
async function open(): Promise<void> {
  let listing: Listing | undefined;
  while (!listing) {
    try {
      listing = await client.request<Listing>('demo.quotes.listing', {}, { resend: true });
      problem();
    } catch (error) {
      problem('quotes.no-listing', error);
      await new Promise((resolve) => { setTimeout(resolve, 1000); });
    }
  }
  const market = new Market(listing);
  meter.market = market;
  line.follow('demo.quotes.board', ({ key = '', data, time }) => {
    market.take(key, data, time);
    meter.count(time);
    soon();
  });
  table.open(market);
  watch.open(market);
  detail.choose(market.quotes[0]!);
}

let due = false;

/** Shows the newest prices when the browser draws next, however many have come until then. */
function soon(): void {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    table.paint();
    watch.paint();
    detail.paint();
  });
}

/** Says what went wrong, in words, or that nothing is any more. */
function problem(key?: 'quotes.no-listing' | 'quotes.no-chart' | 'quotes.no-halt', error?: unknown): void {
  showError($('problem'), key && t(key, { text: words(error) }));
}

function words(error: unknown): string {
  const code = error instanceof DuplexError ? error.code : String(error);
  const name = `error.${code.split('.').at(-1)}`;
  return has(name) ? t(name as 'error.offline') : t('error.other', { code });
}

// --- the slow phone

$<HTMLInputElement>('slow').checked = false; // some browsers keep it over a reload
$('slow').addEventListener('change', ({ target }) => {
  line.use((target as HTMLInputElement).checked);
});

function tellLine(away = false): void {
  say($('line'), away ? 'line.away' : !line.slow ? 'line.fast' : line.open ? 'line.slow' : 'line.wait');
}

let wasAway = false;
onState(({ name }) => {
  if (name === 'waiting') wasAway = true;
  if (name !== 'open' || !wasAway) return;
  wasAway = false;
  void detail.reload();
});
tellLine();

// --- halting the exchange, for operators

let operator = false;
let haltedUntil = 0;
const isHalted = () => haltedUntil > Date.now();
client.subscribe<{ halted: number }>('demo.quotes.status', {
  last: 1,
  onMessage: ({ data }) => {
    haltedUntil = data.halted;
    tellHalt();
  },
});
$('halt').addEventListener('click', async () => {
  try {
    operator ||= await operate(client, () => {});
    if (operator) await client.request('demo.quotes.halt', { seconds: isHalted() ? 0 : 30 });
    problem();
  } catch (error) {
    problem('quotes.no-halt', error);
  }
});

function tellHalt(): void {
  const seconds = Math.ceil((haltedUntil - Date.now()) / 1000);
  $('halted').hidden = !isHalted();
  say($('halt'), isHalted() ? 'quotes.go-on' : 'quotes.halt');
  if (seconds > 0) say($('halted'), 'quotes.halted', { seconds });
}
setInterval(tellHalt, 250);

onLanguage(() => soon());
