// What is here already, for everybody, and what is on its way from others.

import type { Client } from 'duplex-client';
import { at } from '../shared/connection.js';
import { $, avatar, icon, make, showError } from '../shared/dom.js';
import { label, say, t } from '../shared/i18n.js';
import { size, when } from './format.js';
import { browserKey } from './kept.js';
import { removeButton } from './show.js';

export interface File {
  id: string;
  owner: string;
  name: string;
  size: number;
  from: string;
  sha256: string;
  finished: string;
}

interface Progress {
  id: string;
  owner?: string;
  name: string;
  size: number;
  from: string;
  offset?: number;
  ended?: boolean;
}

interface Happened {
  op: string;
  id: string;
  place: string;
  file?: File;
}

interface Listed {
  files: File[];
  uploads: Progress[];
  owner: string;
  place: string;
  maxFile: number;
  refused: string[];
  keep: number;
}

const silent = 30_000; // after so long an upload of somebody else's is not shown any more

export class Files {
  readonly #files = new Map<string, File>();
  readonly #gone = new Set<string>(); // ids are never used again
  readonly #others = new Map<string, { element: HTMLLIElement; bar: HTMLProgressElement; last: number }>();
  readonly #early: Happened[] = []; // of a server whose list has been asked for and is not here yet
  #pending = true; // such a list
  #listed?: Listed;
  #asking = 0;

  constructor(private readonly client: Client) {
    client.subscribe<Happened>('demo.uploads.done', {
      onMessage: ({ data }) => this.#happened(data),
      onGap: () => void this.#list(),
      onState: ({ state }) => { if (state === 'live') void this.#list(); },
    });
    client.subscribe<Progress>('demo.uploads.progress', { onMessage: ({ data }) => this.#progress(data) });
    setInterval(() => this.#tidy(), 5_000);
  }

  /** Takes what has happened at the server that this page is connected to. There is no way to the files of others. */
  #happened(event: Happened): void {
    if (event.place !== this.#listed?.place) {
      if (this.#pending) this.#early.push(event);
      return;
    }
    if (event.op === 'gone') this.#lose(event.id);
    else if (event.file) this.#add(event.file);
    this.show();
  }

  /** Reads all of it, whenever something may have been missed. */
  async #list(): Promise<void> {
    const turn = ++this.#asking;
    this.#pending = true;
    try {
      const listed = await this.client.request<Listed>('demo.uploads.list', { key: browserKey });
      if (turn !== this.#asking) return;
      this.#listed = listed;
      this.#pending = false;
      const there = new Set(listed.files.map(({ id }) => id));
      for (const id of [...this.#files.keys()]) if (!there.has(id)) this.#files.delete(id);
      for (const file of listed.files) this.#add(file);
      for (const event of this.#early.splice(0)) this.#happened(event);
      for (const upload of listed.uploads) this.#progress(upload);
      showError($('trouble'));
      this.show();
    } catch {
      if (turn !== this.#asking || this.client.state !== 'open') return; // with the next connection
      showError($('trouble'), t('done.trouble'));
      setTimeout(() => { if (turn === this.#asking) void this.#list(); }, 2_000);
    }
  }

  #add(file: File): void {
    if (!this.#gone.has(file.id)) this.#files.set(file.id, file);
  }

  #lose(id: string): void {
    this.#gone.add(id);
    this.#files.delete(id);
  }

  show(): void {
    if (!this.#listed) return;
    const { maxFile, refused, keep, owner } = this.#listed;
    $('limits').textContent = t('drop.limits', { size: size(maxFile), days: String(Math.round(keep / 86400)), refused: `${refused.slice(0, 4).join(' ')} …` });
    const newest = [...this.#files.values()].sort((a, b) => b.finished.localeCompare(a.finished));
    $('done').replaceChildren(...newest.map((file) => this.#line(file, file.owner === owner)));
    $('none').hidden = newest.length > 0;
  }

  #line(file: File, own: boolean): HTMLLIElement {
    const { id, name, from, finished, sha256 } = file;
    const link = make('a', 'name', name);
    link.href = at(`uploads/files/${id}`);
    link.download = name;
    const sum = make('code', 'mono sum', sha256);
    sum.title = 'SHA-256';
    const about = make('p', 'muted small', t('done.by', { size: size(file.size), who: from, when: when(finished) }));
    const download = make('a', 'icon', icon('M12 4v12M7 11l5 5 5-5M4 20h16'));
    download.href = link.href;
    download.download = name;
    label(download, 'done.download', { name });
    const line = make('li', 'file', avatar(from), make('div', 'grow', link, about, sum), download);
    if (own) line.append(removeButton(name, () => void this.#remove(id)));
    line.dataset.id = id;
    line.dataset.sum = sha256;
    return line;
  }

  async #remove(id: string): Promise<void> {
    await this.client.request('demo.uploads.remove', { key: browserKey, id }, { resend: true }).catch(() => this.#list());
  }

  #progress({ id, owner, name, size: whole, from, offset = 0, ended }: Progress): void {
    if (owner === this.#listed?.owner) return;
    let other = this.#others.get(id);
    if (ended) {
      other?.element.remove();
      this.#others.delete(id);
    } else {
      if (!other) {
        const title = make('span', 'grow');
        say(title, 'others.line', { name, who: from });
        const bar = make('progress');
        bar.setAttribute('aria-label', name);
        other = { element: make('li', 'panel row', avatar(from), title, bar), bar, last: 0 };
        this.#others.set(id, other);
        $('others-list').append(other.element);
      }
      other.bar.value = whole ? offset / whole : 0;
      other.last = Date.now();
    }
    $('others').hidden = this.#others.size === 0;
  }

  #tidy(): void {
    for (const [id, { element, last }] of this.#others) {
      if (Date.now() - last < silent) continue;
      element.remove();
      this.#others.delete(id);
    }
    $('others').hidden = this.#others.size === 0;
  }
}
