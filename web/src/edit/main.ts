// The shared editing page: one document at a time, by the name in the address.

import './style.css';
import type { DuplexError } from 'duplex-client';
import { IndexeddbPersistence } from 'y-indexeddb';
import * as Y from 'yjs';
import { $, showError } from '../shared/dom.js';
import { at } from '../shared/connection.js';
import { has, locale } from '../shared/i18n.js';
import { start } from '../shared/shell.js';
import { Documents, named } from './documents.js';
import { edit, type Editor } from './editor.js';
import { colorOf, showPeople } from './people.js';
import { Provider, type Compacted, type Saved } from './provider.js';
import { texts } from './texts.js';

const { t, say, connect, me, onLanguage } = start(texts);

const client = connect();
const documents = new Documents(client);
const patience = 600; // ms
const remembering = 1500; // ms that this browser's storage may take before the server is asked without it

interface Open {
  name: string;
  doc: Y.Doc;
  text: Y.Text;
  editor: Editor;
  provider: Provider;
}
let open: Open | undefined;
let opening = 0;
let offline = false;
let problem: DuplexError | undefined;
let foreign = false;
let compacted: Compacted | undefined;

async function show(name: string): Promise<void> {
  const turn = ++opening;
  open?.provider.close();
  open?.editor.destroy();
  open?.doc.destroy();
  open = undefined;
  foreign = false;
  problem = compacted = undefined;
  saved('opening');
  showLog(0, 0);
  $('title').textContent = name;
  const doc = new Y.Doc({ guid: `duplex.edit.${name}` }); // also the name under which the browser keeps it
  const text = doc.getText('text');
  const storage = new IndexeddbPersistence(doc.guid, doc);
  await Promise.race([storage.whenSynced, new Promise((resolve) => { setTimeout(resolve, remembering); })]);
  if (turn !== opening) return doc.destroy();
  const provider = new Provider(client, doc, name, { onSaved: saved, onLog: showLog, onCompacted: showCompacted, onFault: refreeze });
  const { awareness } = provider.cursors;
  awareness.setLocalState({ user: { name: me.name, ...colorOf(me.name) } });
  awareness.on('change', () => showPeople($('people'), awareness));
  const editor = edit($('editor'), text, awareness);
  open = { name, doc, text, editor, provider };
  if (!isPlain(text)) refreeze();
  if (!storage.synced) void storage.whenSynced.then(() => provider.compare());
  provider.offline = offline;
  showPeople($('people'), awareness);
  doc.on('beforeObserverCalls', ({ local }: Y.Transaction) => {
    if (!local && !isPlain(text)) refreeze(); // before the editor tries to show it
  });
  text.observe(() => scheduleCount());
  for (const event of ['stack-item-added', 'stack-item-popped', 'stack-cleared'] as const) editor.undo.on(event, showUndo);
  translated();
  scheduleCount();
  showUndo();
}

// --- what is shown of it

let pending = 0;
function saved(state: Saved, error?: DuplexError): void {
  const pill = $('saved');
  const kinds: Partial<Record<Saved, string>> = { saved: 'good', offline: 'warn', waiting: 'warn', refused: 'bad' };
  const show = () => {
    pill.className = `pill ${kinds[state] ?? ''}`;
    say(pill, `saved.${state}`);
  };
  pill.dataset.saved = state;
  clearTimeout(pending);
  if (state === 'saving') pending = window.setTimeout(show, patience); // most are saved sooner, and a word that flickers says nothing
  else show();
  if (error || state === 'saved') problem = error;
  if (state === 'saved') documents.refresh();
  showProblem();
}

function showProblem(): void {
  if (foreign) return showError($('problem'), t('problem.foreign'));
  if (!problem) return showError($('problem'));
  const key = `problem.${problem.code}`;
  showError($('problem'), has(key) ? t(key as 'problem.forbidden') : t('problem.other', { text: problem.message }));
}

const size = (bytes: number) =>
  new Intl.NumberFormat(locale(), { style: 'unit', unit: 'kilobyte', unitDisplay: 'short', maximumFractionDigits: 1 }).format(bytes / 1000);

let log = { updates: 0, snapshot: 0 };
function showLog(updates = log.updates, snapshot = log.snapshot): void {
  log = { updates, snapshot };
  $('log').textContent = updates.toLocaleString(locale());
  $('snapshot').textContent = snapshot ? size(snapshot) : '–';
}

function showCompacted(note = compacted): void {
  compacted = note;
  $('compacted').hidden = !note;
  if (note) $('compacted').textContent = t('edit.compacted', { updates: note.updates, size: size(note.snapshot) });
}

const word = /\p{Script=Han}|(?:(?!\p{Script=Han})[\p{L}\p{M}\p{N}'’_-])+/gu; // Chinese has no spaces: each character counts
let counting = 0;
function scheduleCount(): void {
  counting ||= window.setTimeout(() => {
    counting = 0;
    if (open) count(open);
  }, 200);
}

function count({ text, editor }: Open): void {
  const content = text.toString();
  if (foreign || content !== editor.view.state.sliceDoc()) refreeze();
  $('words').textContent = (content.match(word)?.length ?? 0).toLocaleString(locale());
  $('characters').textContent = [...content].length.toLocaleString(locale());
}

/** Whether a text consists of characters only: pictures and whatever else programs put between them count for its length. */
const isPlain = (text: Y.Text) => text.length === text.toString().length;

/** The document holds what no editor of plain text can show: it must not be changed here. */
function refreeze(): void {
  foreign = true;
  if (open) open.editor.freeze(open.text.toString());
  showUndo();
  showProblem();
}

function showUndo(): void {
  const undo = open?.editor.undo;
  $<HTMLButtonElement>('undo').disabled = foreign || !undo?.undoStack.length;
  $<HTMLButtonElement>('redo').disabled = foreign || !undo?.redoStack.length;
}

function translated(): void {
  if (!open) return;
  open.editor.label(t('edit.text', { name: open.name }), t('edit.placeholder'));
  $('code').textContent = `new WebsocketProvider(\n  '${at('edit/yjs').replace(/^http/, 'ws')}',\n  '${open.name}', doc)\ndoc.getText('text')`;
  showPeople($('people'), open.provider.cursors.awareness);
  showLog();
  showCompacted();
  showProblem();
  count(open);
}

// --- what the visitor does

$('undo').onclick = () => open?.editor.undo.undo();
$('redo').onclick = () => open?.editor.undo.redo();
$('offline').onclick = () => {
  offline = !offline;
  $('offline').setAttribute('aria-pressed', String(offline));
  say($('offline'), offline ? 'edit.online' : 'edit.offline');
  if (open) open.provider.offline = offline;
};

addEventListener('hashchange', () => void show(named()));
addEventListener('pagehide', () => open?.provider.cursors.end());
addEventListener('pageshow', ({ persisted }) => persisted && open && open.provider.cursors.begin());
client.on('state', ({ state }) => {
  if (state === 'open') documents.refresh();
});
onLanguage(translated);
void show(named());
