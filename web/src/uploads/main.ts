// The uploads page: what is chosen or dropped goes up, a few files at a time; what was left unfinished is taken up again.

import './style.css';
import { $ } from '../shared/dom.js';
import { start } from '../shared/shell.js';
import { toast } from '../shared/toast.js';
import { Files } from './files.js';
import { duration, size } from './format.js';
import { hashHead } from './hashing.js';
import { all, claim, keyOf, type Kept } from './kept.js';
import { Show } from './show.js';
import { texts } from './texts.js';
import { tellCancelled, Transfer } from './transfer.js';

const { t, connect, onLanguage } = start(texts);
const moving = 3; // files at the same time
const transfers = new Map<Transfer, Show>();

const client = connect();
const files = new Files(client);

/** Takes files that somebody has chosen; those that were left unfinished go on. */
async function take(chosen: Iterable<File>): Promise<void> {
  for (const file of chosen) {
    const head = await hashHead(file).catch(() => undefined);
    if (head === undefined) {
      toast(t('error.changed'));
      continue;
    }
    const { name, size, lastModified: modified } = file;
    const key = keyOf(name, size, modified, head);
    const known = [...transfers.keys()].find(({ kept, state }) => kept.key === key && state !== 'done' && state !== 'cancelled');
    if (known) {
      if (['missing', 'paused', 'failed', 'elsewhere'].includes(known.state)) known.resume(file);
      else toast(t('drop.twice', { name }));
      continue;
    }
    add({ key, name, size, modified, head, offset: 0, paused: false }, file, await claim(key));
  }
  schedule();
}

function add(kept: Kept, file: Blob | undefined, release: (() => void) | undefined): void {
  const transfer: Transfer = new Transfer(kept, file, client, release ?? (() => {}), () => {
    transfers.get(transfer)?.update();
    schedule();
  });
  const show = new Show(transfer, {
    choose: () => $('files').click(),
    cancel: () => {
      void transfer.cancel();
      close(transfer);
    },
    close: () => close(transfer),
  });
  transfers.set(transfer, show);
  $('transfers').append(show.element);
  summarise();
}

function close(transfer: Transfer): void {
  if (transfer.state === 'failed') void transfer.cancel();
  const next = transfers.get(transfer)?.element.nextElementSibling ?? $('choose');
  transfers.get(transfer)?.element.remove();
  transfers.delete(transfer);
  (next.querySelector('button') ?? $('choose')).focus();
  schedule();
  summarise();
}

/** Lets the next ones begin. */
function schedule(): void {
  let busy = 0;
  for (const transfer of transfers.keys()) if (transfer.busy) busy++;
  for (const transfer of transfers.keys()) {
    if (busy >= moving) return;
    if (transfer.state !== 'waiting') continue;
    busy++;
    queueMicrotask(() => { if (transfer.state === 'waiting') transfer.start(); });
  }
}

function summarise(): void {
  let [sent, whole, speed] = [0, 0, 0];
  for (const [transfer, show] of transfers) {
    show.update();
    const { state, kept } = transfer;
    if (state === 'failed' || state === 'elsewhere') continue;
    sent += state === 'done' ? kept.size : transfer.sent;
    whole += kept.size;
    speed += transfer.speed.now;
  }
  $('mine').hidden = transfers.size === 0;
  $<HTMLProgressElement>('total').value = whole ? sent / whole : 0;
  const figures = { size: size(sent), of: size(whole), speed: size(speed), left: speed ? duration((whole - sent) / speed) : '' };
  $('total-text').textContent = t(speed ? 'mine.moving' : 'mine.still', figures);
}

/** Takes up what an earlier page has left, unless another window goes on with it. */
async function takeUp(): Promise<void> {
  for (const kept of await all()) {
    if (kept.cancelled) {
      void tellCancelled(client, kept);
      continue;
    }
    void claim(kept.key).then((release) => {
      if (!release || [...transfers.keys()].some((transfer) => transfer.kept.key === kept.key)) return;
      const { blob, ...rest } = kept;
      add(rest, blob, release);
      schedule();
    });
  }
}

// --- choosing and dropping

const input = $<HTMLInputElement>('files');
$('choose').addEventListener('click', () => input.click());
input.addEventListener('change', () => {
  void take([...input.files ?? []]);
  input.value = '';
});

const drop = $('drop');
addEventListener('dragover', (event) => {
  event.preventDefault();
  drop.classList.add('over');
});
addEventListener('dragleave', ({ relatedTarget }) => { if (!relatedTarget) drop.classList.remove('over'); });
addEventListener('drop', (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  const items = [...event.dataTransfer?.items ?? []];
  if (items.some((item) => item.webkitGetAsEntry?.()?.isDirectory)) toast(t('drop.folder'));
  void take(items.filter((item) => item.kind === 'file' && !item.webkitGetAsEntry?.()?.isDirectory).map((item) => item.getAsFile()).filter((file) => file !== null));
});

setInterval(summarise, 250);
onLanguage(() => {
  files.show();
  summarise();
});
void takeUp();
