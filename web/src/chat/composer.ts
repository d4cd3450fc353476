// Where a message is written: text, emoji, what it replies to, and pictures by button, paste or drop, with a preview before they are sent.

import { $, make, showError } from '../shared/dom.js';
import { label, t } from '../shared/i18n.js';
import { quoteContent } from './bubble.js';
import { fillEmoji } from './emoji.js';
import { pictureTypes, quoteOf, type Quote, type Shown } from './message.js';
import { limits } from './rooms.js';

const maxPreviews = 6;

const form = $<HTMLFormElement>('composer');
const text = $<HTMLTextAreaElement>('text');
const panel = $('emoji');
const panelButton = $('emoji-button');
const fileInput = $<HTMLInputElement>('file');
const previews = $('previews');
const problem = $('composer-error');
const dropZone = $('drop');
const replying = $('replying');

interface Listener {
  /** Whoever takes it calls clear(). */
  submit(written: { text: string; files: File[]; reply?: Quote }): void;
  /** A key was pressed, and there is something to say or not. */
  typed(something: boolean): void;
  /** The message before or behind the one that is replied to, or the last one. */
  neighbour(of: Quote | undefined, step: -1 | 1): Shown | undefined;
}

export class Composer {
  #files = new Map<File, string>(); // to the address of the preview
  #reply?: Quote;

  constructor(private readonly listener: Listener) {
    fillEmoji(panel, (one) => {
      text.setRangeText(one, text.selectionStart, text.selectionEnd, 'end');
      this.#changed();
    }, () => this.toggleEmoji(false));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    text.addEventListener('keydown', (event) => this.#pressed(event));
    text.addEventListener('input', () => {
      this.#changed();
      showError(problem);
    });
    text.addEventListener('paste', (event) => this.#take(event, event.clipboardData));
    fileInput.addEventListener('change', () => {
      this.#addFiles(fileInput.files!);
      fileInput.value = '';
      text.focus();
    });
    $('replying-stop').addEventListener('click', () => {
      this.reply(undefined);
      text.focus();
    });
    this.#listenForDrops($('chat'));
    document.addEventListener('click', ({ target }) => {
      if (!panel.contains(target as Node) && !panelButton.contains(target as Node)) this.toggleEmoji(false);
    });
  }

  focus(): void {
    text.focus();
  }

  choosePicture(): void {
    fileInput.click();
  }

  error(message: string): void {
    showError(problem, message);
  }

  clear(): void {
    text.value = '';
    for (const file of [...this.#files.keys()]) this.#removeFile(file);
    this.reply(undefined);
    this.#changed();
    showError(problem);
  }

  /** What is written replies to this message. */
  reply(to: Shown | undefined): void {
    this.#reply = to && quoteOf(to);
    replying.hidden = !to;
    if (!this.#reply) return;
    label(replying, 'reply.replying', { from: this.#reply.from });
    $('replying-to').replaceChildren(...quoteContent(this.#reply));
  }

  toggleEmoji(open = panel.hidden): void {
    if (panel.hidden === !open) return;
    const hadFocus = panel.contains(document.activeElement);
    panel.hidden = !open;
    panelButton.setAttribute('aria-expanded', String(open));
    if (open) panel.querySelector<HTMLElement>('[tabindex="0"]')!.focus();
    else if (hadFocus) text.focus();
  }

  /** Enter sends; while nothing is written, the arrow keys choose what to reply to. */
  #pressed(event: KeyboardEvent): void {
    if (event.isComposing || event.keyCode === 229) return; // while an input method composes, keys belong to it
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === 'Escape' && this.#reply) {
      this.reply(undefined);
    } else if (text.value === '' && (event.key === 'ArrowUp' || event.key === 'ArrowDown' && this.#reply)) {
      event.preventDefault();
      const to = this.listener.neighbour(this.#reply, event.key === 'ArrowUp' ? -1 : 1);
      if (to || event.key === 'ArrowDown') this.reply(to);
    }
  }

  #submit(): void {
    const value = text.value.trim();
    if (value === '' && this.#files.size === 0) return;
    if ([...value].length > limits.text) {
      this.error(t('error.text-too-long', { limit: limits.text }));
      return;
    }
    this.toggleEmoji(false);
    this.listener.submit({ text: value, files: [...this.#files.keys()], reply: this.#reply });
  }

  #changed(): void {
    text.style.setProperty('height', 'auto');
    text.style.setProperty('height', `${Math.min(text.scrollHeight, 168)}px`);
    this.listener.typed(text.value.trim() !== '');
  }

  #listenForDrops(area: HTMLElement): void {
    let depth = 0; // entering a child comes before leaving its parent
    const show = (change: number) => {
      depth = Math.max(0, depth + change);
      dropZone.hidden = depth === 0;
    };
    const hasFiles = ({ dataTransfer }: DragEvent) => dataTransfer?.types.includes('Files') ?? false;
    area.addEventListener('dragenter', (event) => hasFiles(event) && show(1));
    area.addEventListener('dragleave', () => show(-1));
    area.addEventListener('dragover', (event) => hasFiles(event) && event.preventDefault());
    area.addEventListener('drop', (event) => {
      depth = 0;
      dropZone.hidden = true;
      this.#take(event, event.dataTransfer);
      text.focus();
    });
  }

  #take(event: Event, data: DataTransfer | null): void {
    if (!data?.files.length) return;
    event.preventDefault();
    this.#addFiles(data.files);
  }

  #addFiles(files: FileList): void {
    showError(problem);
    for (const file of files) {
      const limit = Math.floor(limits.picture / 2 ** 20);
      if (!pictureTypes.includes(file.type)) this.error(t('error.not-a-picture', { name: file.name }));
      else if (file.size > limits.picture) this.error(t('error.picture-too-large', { name: file.name, limit }));
      else if (this.#files.size >= maxPreviews) this.error(t('error.too-many-pictures'));
      else this.#addFile(file);
    }
  }

  #addFile(file: File): void {
    const url = URL.createObjectURL(file);
    this.#files.set(file, url);
    const image = make('img');
    image.src = url;
    image.alt = file.name;
    const remove = make('button', 'remove', '×');
    remove.type = 'button';
    label(remove, 'picture.remove', { name: file.name });
    remove.onclick = () => {
      this.#removeFile(file);
      text.focus();
    };
    const item = make('li', '', image, make('span', 'size', size(file.size)), remove);
    item.dataset.url = url;
    previews.append(item);
    previews.hidden = false;
  }

  #removeFile(file: File): void {
    const url = this.#files.get(file)!;
    this.#files.delete(file);
    URL.revokeObjectURL(url);
    previews.querySelector(`[data-url="${url}"]`)!.remove();
    previews.hidden = this.#files.size === 0;
  }
}

function size(bytes: number): string {
  return bytes < 2 ** 20 ? `${Math.max(1, Math.round(bytes / 1024))} kB` : `${(bytes / 2 ** 20).toFixed(1)} MB`;
}
