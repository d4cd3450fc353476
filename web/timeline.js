// The messages of a room: what the server has confirmed, in its order, and below it what still waits to be sent.

import { $, avatar, linked, make } from './dom.js';
import { label, locale, onLanguage, say, t } from './i18n.js';

const maxShown = 400;
const maxSeen = 4000;
const groupWithin = 5 * 60_000;
const nearBottom = 80; // pixels

const log = $('log');
const pending = $('pending');
const scroll = $('scroll');
const newer = $('newer');
const empty = $('empty');

let stuck = true; // to the bottom, because that is where the reader is

new ResizeObserver(() => stuck && jump()).observe(scroll);

function jump() {
  scroll.scrollTop = scroll.scrollHeight;
  stuck = true;
}

export class Timeline extends EventTarget {
  /** Our own name: messages from it are on the right. */
  own;
  #seen = new Set();
  #pictures = new Map(); // element -> address of its Blob
  #waiting = new Map(); // item that is to be sent -> element
  #epoch = ''; // of the last message
  #offset = 0; // the highest one in that epoch
  #unseen = 0;

  constructor(own) {
    super();
    this.own = own;
    log.replaceChildren();
    pending.replaceChildren();
    empty.hidden = true;
    this.#showNewer(0);
    scroll.onscroll = () => {
      stuck = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight <= nearBottom;
      if (stuck) this.#showNewer(0);
    };
    newer.onclick = () => this.toBottom();
  }

  /** Gives the memory of all pictures back. */
  close() {
    for (const url of this.#pictures.values()) URL.revokeObjectURL(url);
    this.#pictures.clear();
  }

  /** Everything from here on is new: what is shown without being a message has its place behind what was before. */
  startAt({ epoch, offset }) {
    if (epoch !== this.#epoch) [this.#epoch, this.#offset] = [epoch, offset];
  }

  /** Shows a message in its place. Returns whether it is new: a message that was sent twice, to be sure, is shown once. */
  add(message, past = false) {
    const key = `${message.from} ${message.id}`;
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    if (this.#seen.size > maxSeen) this.#seen.delete(this.#seen.values().next().value); // the oldest
    const element = this.#element(message);
    Object.assign(element.dataset, { epoch: message.epoch, from: message.from, time: message.time });
    this.#insert(element, message.epoch, message.offset, !past && message.from !== this.own);
    return true;
  }

  /** Shows messages of the past, as far as they are not known. */
  addPast(messages) {
    log.setAttribute('aria-live', 'off'); // a screen reader need not read the whole past
    for (const message of messages) this.add(message, true);
    empty.hidden = log.childElementCount + pending.childElementCount > 0;
    setTimeout(() => log.setAttribute('aria-live', 'polite'));
  }

  /** A line that is not a message, at the end or behind the message with that offset. */
  notice(key, args, behind = this.#offset) {
    const place = Math.floor(Math.min(behind, this.#offset)) + 0.5; // so that the message itself comes before it, and the next one behind
    this.#insert(make('li', 'notice', saying(make('span'), key, args)), this.#epoch, place);
  }

  /** Shows an item that is to be sent, or what has become of it: problem says why it failed. */
  showPending(item, problem) {
    let element = this.#waiting.get(item);
    if (item.state === 'gone') {
      this.#forget(element);
      element?.remove();
      this.#waiting.delete(item);
      return;
    }
    if (!element) {
      element = this.#element({ ...item, from: this.own, blob: item.file, name: item.file?.name }, true);
      this.#waiting.set(item, element);
      pending.append(element);
      empty.hidden = true;
      stuck = true;
    }
    element.dataset.state = item.state;
    this.#showStatus(element, item, problem);
    if (stuck) this.toBottom();
  }

  toBottom() {
    jump();
    this.#showNewer(0);
  }

  /** Puts a line behind those that the room has before it. Offsets of different epochs cannot be compared: a new one begins at the end. */
  #insert(element, epoch, offset, counts = false) {
    const stay = stuck;
    empty.hidden = true;
    element.dataset.epoch = epoch;
    element.dataset.offset = offset;
    let before = null;
    for (let e = log.lastElementChild; e && e.dataset.epoch === epoch && Number(e.dataset.offset) > offset; e = e.previousElementSibling) before = e;
    log.insertBefore(element, before);
    if (!before) [this.#epoch, this.#offset] = [epoch, offset];
    this.#adjust(element);
    if (before) this.#adjust(nextMessage(element));
    while (log.childElementCount > maxShown) {
      this.#forget(log.firstElementChild);
      log.firstElementChild.remove();
    }
    if (stay) this.toBottom();
    else if (counts) this.#showNewer(this.#unseen + 1);
  }

  /** Groups a message with the one before it, or puts the day between them. */
  #adjust(element) {
    if (!element?.matches('.message')) return;
    if (element.previousElementSibling?.matches('.day')) element.previousElementSibling.remove();
    const { from, time, epoch, offset } = element.dataset;
    const before = previousMessage(element);
    const day = dayOf(time);
    if (before ? dayOf(before.dataset.time) !== day : day !== dayOf(Date.now())) {
      const separator = make('li', 'day', make('span'));
      Object.assign(separator.dataset, { time, epoch, offset });
      showDay(separator);
      log.insertBefore(separator, element);
    }
    const grouped = before !== null && before === element.previousElementSibling && before.dataset.from === from && time - before.dataset.time < groupWithin;
    element.classList.toggle('grouped', grouped);
  }

  #showNewer(count) {
    this.#unseen = count;
    newer.hidden = count === 0;
    if (count > 0) say(newer, 'log.newer', { n: count });
  }

  #element(message, waiting = false) {
    const own = message.from === this.own;
    const who = make('span', 'who', message.from);
    const time = make('time');
    time.dateTime = new Date(message.time).toISOString();
    showTime(time);
    const body = make('div', 'body', make('p', 'meta', who, ' ', time), message.blob ? this.#picture(message) : bubble(message.text));
    if (waiting) body.append(make('div', 'status'));
    const element = make('li', own ? 'message own' : 'message', avatar(message.from), body);
    element.dataset.id = message.id;
    return element;
  }

  #picture({ from, name, blob }) {
    const url = URL.createObjectURL(blob);
    const image = make('img');
    image.src = url;
    image.alt = t('picture.alt', { from, name });
    const button = make('button', 'picture', image);
    button.type = 'button';
    label(button, 'picture.enlarge', { from });
    button.onclick = () => this.dispatchEvent(new CustomEvent('enlarge', { detail: { url, from, name: name || 'picture', type: blob.type } }));
    image.onload = () => stuck && this.toBottom();
    image.onerror = () => {
      button.disabled = true;
      button.replaceChildren(saying(make('span', 'broken'), 'picture.broken'));
    };
    this.#pictures.set(button, url);
    return button;
  }

  #forget(element) {
    const button = element?.querySelector('.picture');
    if (!this.#pictures.has(button)) return;
    URL.revokeObjectURL(this.#pictures.get(button));
    this.#pictures.delete(button);
  }

  #showStatus(element, item, problem) {
    const status = element.querySelector('.status');
    if (item.state === 'sending' && item.file) {
      let bar = status.querySelector('progress');
      if (!bar) {
        bar = make('progress');
        bar.max = 1;
        status.replaceChildren(bar, make('span'));
      }
      // What the browser has handed over may still be under way for a long time.
      const handedOver = item.progress === 1;
      const text = handedOver ? ['status.arriving'] : ['status.progress', { percent: Math.floor(item.progress * 100) }];
      if (handedOver) bar.removeAttribute('value');
      else bar.value = item.progress;
      label(bar, ...text);
      say(status.lastElementChild, ...text);
      return;
    }
    const text = make('span');
    if (item.state === 'failed') {
      text.textContent = problem;
      const discard = saying(make('button', 'link'), 'status.discard');
      discard.type = 'button';
      discard.onclick = () => this.dispatchEvent(new CustomEvent('discard', { detail: item }));
      status.replaceChildren(text, ' ', discard);
      return;
    }
    status.replaceChildren(saying(text, `status.${item.state}`));
  }
}

const dayOf = (time) => new Date(Number(time)).toDateString();

const sibling = (next) => (element) => {
  let e = element[next];
  while (e && !e.matches('.message')) e = e[next];
  return e;
};
const nextMessage = sibling('nextElementSibling');
const previousMessage = sibling('previousElementSibling');

function saying(element, key, args) {
  say(element, key, args);
  return element;
}

function bubble(text) {
  const p = make('p', 'bubble', ...linked(text));
  // A few emoji and nothing else are shown large.
  if (/\p{Extended_Pictographic}/u.test(text) && !/[\p{L}\p{N}\p{P}]/u.test(text) && [...text].length <= 8) p.classList.add('large');
  return p;
}

function showTime(element) {
  element.textContent = new Intl.DateTimeFormat(locale(), { hour: '2-digit', minute: '2-digit', hour12: false }).format(new Date(element.dateTime));
}

function showDay(element) {
  const date = new Date(Number(element.dataset.time));
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 86_400_000);
  const text = days === 0 ? t('day.today') : days === 1 ? t('day.yesterday') : new Intl.DateTimeFormat(locale(), { dateStyle: 'full' }).format(date);
  element.firstElementChild.textContent = text;
}

onLanguage(() => {
  for (const time of scroll.querySelectorAll('time')) showTime(time);
  for (const day of scroll.querySelectorAll('.day')) showDay(day);
});
