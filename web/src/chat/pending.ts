// Below the messages of the room: what is still to be sent, or could not be.

import { $, make } from '../shared/dom.js';
import { label, say } from '../shared/i18n.js';
import { forgetPicture, messageElement, type Actions } from './bubble.js';
import { problemText, type Item } from './message.js';
import type { Unsent } from './unsent.js';

export class Pending {
  readonly #list = $('pending');
  readonly #elements = new Map<Item, HTMLElement>();

  constructor(private readonly unsent: Unsent, private readonly room: string, private readonly actions: Actions) {
    this.#list.replaceChildren();
  }

  get empty(): boolean {
    return this.#elements.size === 0;
  }

  /** Shows an item, or what has become of it. Returns whether it is a new one. */
  show(item: Item, own: string): boolean {
    let element = this.#elements.get(item);
    if (item.state === 'gone') {
      if (element) forgetPicture(element);
      element?.remove();
      this.#elements.delete(item);
      return false;
    }
    const isNew = !element;
    if (!element) {
      const { id, time, text, file, reply } = item;
      element = messageElement({ id, time, text, reply, blob: file, name: file?.name, from: own, epoch: '', offset: 0 }, true, this.actions, true);
      this.#elements.set(item, element);
      this.#list.append(element);
    }
    element.dataset.state = item.state;
    if (!item.reply) element.querySelector('.quote')?.remove();
    this.#showStatus(element.querySelector('.status')!, item);
    return isNew;
  }

  close(): void {
    for (const element of this.#elements.values()) forgetPicture(element);
  }

  #showStatus(status: Element, item: Item): void {
    if (item.state === 'sending' && item.file) {
      showProgress(status, item.progress);
      return;
    }
    const text = make('span');
    if (item.state !== 'failed') {
      say(text, `status.${item.state}`);
      status.replaceChildren(text);
      return;
    }
    text.textContent = problemText(item.error!, { name: item.file?.name, room: this.room });
    const discard = action('status.discard', () => this.unsent.discard(item));
    if (item.error!.code === 'chat.unknown-message') status.replaceChildren(text, ' ', action('status.unquoted', () => this.unsent.withoutReply(item)), ' ', discard);
    else status.replaceChildren(text, ' ', discard);
  }
}

function action(key: string, act: () => void): HTMLButtonElement {
  const button = make('button', 'link');
  button.type = 'button';
  button.onclick = act;
  say(button, key);
  return button;
}

function showProgress(status: Element, progress: number): void {
  let bar = status.querySelector('progress');
  if (!bar) {
    bar = make('progress');
    bar.max = 1;
    status.replaceChildren(bar, make('span'));
  }
  // What the browser has handed over may still be under way for a long time.
  const handedOver = progress === 1;
  const args = handedOver ? undefined : { percent: Math.floor(progress * 100) };
  const key = handedOver ? 'status.arriving' : 'status.progress';
  if (handedOver) bar.removeAttribute('value');
  else bar.value = progress;
  label(bar, key, args);
  say(status.lastElementChild!, key, args);
}
