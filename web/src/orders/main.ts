// The orders page: a table that follows the database, and edits that never overwrite what one has not seen.

import './style.css';
import { $, make, showError } from '../shared/dom.js';
import { say } from '../shared/i18n.js';
import { start } from '../shared/shell.js';
import { toast } from '../shared/toast.js';
import { Editor, type Outcome } from './editor.js';
import { Feed } from './feed.js';
import { Orders, statuses, type Change, type Order } from './model.js';
import { Row, tally } from './row.js';
import { texts } from './texts.js';
import { byUs, isOurs, reason } from './words.js';

const { t, connect, onLanguage } = start(texts);
const orders = new Orders();
const rows = new Map<number, Row>();
const feed = new Feed($('feed'), $('quiet'));
const body = $('rows');
let editor: Editor | undefined;
let filter = ''; // a status, or all
let place: string | undefined; // the table, once its list is here
const early: Change[] = []; // of a table whose list has been asked for and is not here yet
let pending = true; // such a list
let asking = 0; // the number of the last request for it

const client = connect();
client.subscribe<Change>('demo.orders.changes', {
  last: 30,
  onMessage: ({ data }) => heard(data),
  onGap: () => void list(), // some changes are not told any more; the table says what came of them
  onState: ({ state }) => { if (state === 'live') void list(); },
});

/** Reads the whole table. It is asked for whenever changes may have been missed. */
async function list(): Promise<void> {
  const turn = ++asking;
  pending = true;
  orders.ask();
  try {
    const answer = await client.request<{ orders: Order[]; place: string; database: string; file?: string }>('demo.orders.list');
    if (turn !== asking) return;
    if (place !== undefined && place !== answer.place) { // another server, with a table of its own
      orders.clear();
      feed.clear();
    }
    place = answer.place;
    pending = false;
    for (const change of early.splice(0)) heard(change, false);
    orders.replace(answer.orders);
    showError($('trouble'));
    showDatabase(answer.database, answer.file);
    arrange();
  } catch {
    if (turn !== asking || client.state !== 'open') return; // when there is a connection it is asked for again
    showError($('trouble'), t('trouble.unavailable'));
    setTimeout(() => { if (turn === asking) void list(); }, 2_000);
  }
}

function heard(change: Change, news = true): void {
  if (place !== change.place) {
    if (pending) early.push(change);
    return;
  }
  feed.add(change);
  if (change.op === 'reset') return void list();
  const { id, version, now } = change;
  const isNew = orders.set(id, version, now);
  if (!news) return;
  if (editor?.order?.id === id && version > editor.order.version && !byUs(change)) editor.changed(orders.all.get(id), change);
  if (isNew) arrange();
  if (!byUs(change)) rows.get(id)?.flash(change);
}

/** Makes the rows those of the table, the newest order first, and leaves alone what is right already. */
function arrange(): void {
  const wanted = [...orders.all.values()].sort((a, b) => b.id - a.id);
  for (const [id, row] of rows) {
    if (orders.all.has(id)) continue;
    rows.delete(id);
    row.leave();
  }
  let before: Element | null = null;
  for (const order of wanted.reverse()) {
    let row = rows.get(order.id);
    if (!row) rows.set(order.id, row = new Row(order, { edit, remove }));
    else if (row.order.version !== order.version) row.update(order);
    row.element.hidden = (filter !== '' && order.status !== filter) || editor?.order?.id === order.id;
    if (!row.element.isConnected) body.insertBefore(row.element, before);
    before = row.element;
  }
  summarise();
}

function summarise(): void {
  const { counts, n, text } = tally(orders.all.values());
  $('none').hidden = place === undefined || n > 0;
  $('total').textContent = place === undefined ? '' : t('orders.total', text);
  for (const chip of $('filters').querySelectorAll('button')) {
    const status = chip.value;
    chip.querySelector('.count')!.textContent = String(status ? counts[status] : n);
    chip.setAttribute('aria-pressed', String(status === filter));
  }
}

function showDatabase(database: string, file?: string): void {
  const isLite = database === 'sqlite';
  say($('database'), isLite ? 'database.sqlite' : 'database.postgres');
  $('database').hidden = false;
  $('outside').hidden = isLite && !file;
  const statement = (table: string) => `UPDATE ${table} SET quantity = 7 WHERE id = 1`;
  $('command').textContent = isLite ? `sqlite3 "${file}" "${statement('orders')}"` : `psql -c "${statement('duplex.orders')}"`;
}

// --- what the visitor does

for (const status of ['', ...statuses]) {
  const name = make('span');
  say(name, status ? `status.${status}` : 'orders.all');
  const chip = make('button', 'chip', name, make('span', 'count', '0'));
  chip.type = 'button';
  chip.value = status;
  chip.addEventListener('click', () => {
    filter = status;
    arrange();
  });
  $('filters').append(chip);
}

$('new').addEventListener('click', () => edit(undefined));

function edit(order: Order | undefined): void {
  close();
  editor = new Editor(order, {
    save: async (draft, version) => {
      const outcome = order
        ? await client.request<Outcome>('demo.orders.change', { id: order.id, version, ...draft }, { resend: true })
        : await client.request<Outcome>('demo.orders.add', draft);
      if (outcome.done && outcome.order) isOurs(outcome.order.version);
      return outcome;
    },
    closed: (saved) => {
      close();
      if (saved) orders.set(saved.id, saved.version, saved);
      arrange();
      const back = rows.get(saved?.id ?? order?.id ?? 0)?.element.querySelector('button');
      (back ?? $('new')).focus();
    },
  });
  const row = order && rows.get(order.id)?.element;
  if (row) row.before(...editor.elements);
  else body.prepend(...editor.elements);
  arrange();
  editor.focus();
}

function close(): void {
  for (const element of editor?.elements ?? []) element.remove();
  editor = undefined;
}

async function remove(order: Order): Promise<void> {
  try {
    const { done, order: now } = await client.request<Outcome>('demo.orders.remove', { id: order.id, version: order.version }, { resend: true });
    if (done) return; // everybody hears of it, and so does this page
    if (now) orders.set(now.id, now.version, now);
    arrange();
  } catch (error) {
    toast(reason(error).text);
  }
}

onLanguage(() => {
  for (const row of rows.values()) row.show();
  editor?.show();
  feed.show();
  summarise();
  if (!$('trouble').hidden) $('trouble').textContent = t('trouble.unavailable');
});
