// The messages of a room that the server has confirmed, in its order, and where in them the reader is.

import type { Position } from 'duplex-client';
import { $, make } from '../shared/dom.js';
import { say } from '../shared/i18n.js';
import { dayElement, forgetPicture, messageElement, sameDay, type Actions } from './bubble.js';
import type { Shown } from './message.js';

const maxShown = 600; // lines; then the oldest go, and come again when one scrolls back
const groupWithin = 5 * 60_000;
const nearBottom = 80; // pixels
const nearTop = 400;

interface Listener extends Actions {
  /** The reader comes to the beginning of what is shown, and the room may remember more. */
  older(): void;
  /** The reader has seen everything up to there. */
  seen(at: Position): void;
  /** Lines have come or gone. */
  changed(): void;
}

export class Timeline {
  /** Our own name: messages from it are on the right. */
  own: string;
  readonly #log = $('log');
  readonly #scroll = $('scroll');
  readonly #newer = $<HTMLButtonElement>('newer');
  readonly #empty = $('empty');
  readonly #shown = new WeakMap<Element, Shown>();
  readonly #known = new Set<string>(); // of the messages that are shown, from whom and their id
  readonly #resized = new ResizeObserver(() => this.#stuck && this.#jump());
  #stuck = true; // to the bottom, because that is where the reader is
  #top = 0; // where it was scrolled to
  #epoch = ''; // of the last line
  #offset = 0; // the highest one in that epoch
  #unseen = 0;
  #more = false; // the room remembers messages before the first one
  #read?: Position; // what comes behind is new to the reader
  #divider?: HTMLElement; // above what is new
  #frame = 0;

  constructor(own: string, read: Position | undefined, private readonly listener: Listener) {
    this.own = own;
    this.#read = read;
    this.#log.replaceChildren();
    this.#empty.hidden = true;
    this.#showTop();
    this.#showNewer(0);
    for (const element of [this.#scroll, this.#log, $('pending')]) this.#resized.observe(element);
    this.#scroll.onscroll = () => {
      const { scrollTop } = this.#scroll;
      if (this.#isAtBottom) this.#stuck = true;
      else if (scrollTop < this.#top - 1) this.#stuck = false; // by the reader; what grows does not count
      this.#top = scrollTop;
      if (this.#stuck) this.#showNewer(0);
      this.fill();
      this.look();
    };
    this.#newer.onclick = () => this.toBottom();
    $('older-load').onclick = () => listener.older();
  }

  /** Gives the memory of all pictures back. */
  close(): void {
    this.#resized.disconnect();
    cancelAnimationFrame(this.#frame);
    for (const element of this.#log.children) forgetPicture(element);
  }

  /** Everything from here on is new: what is shown without being a message has its place behind what was before. */
  startAt({ epoch, offset }: Position): void {
    if (epoch === this.#epoch) return;
    [this.#epoch, this.#offset] = [epoch, offset];
    this.#more = false; // what was before is not remembered
    this.#showTop();
  }

  /** The place before which the past is to be asked for. */
  get first(): Position | undefined {
    for (const e of this.#log.querySelectorAll<HTMLElement>('.message')) {
      if (e.dataset.epoch === this.#epoch) return { epoch: this.#epoch, offset: Number(e.dataset.offset) };
    }
    return undefined;
  }

  /** Shows a message in its place. Returns whether it is new: a message that was sent twice, to be sure, is shown once. */
  add(message: Shown): boolean {
    const element = this.#insertMessage(message);
    if (!element) return false;
    const own = message.from === this.own;
    if (own) this.#divide(undefined);
    else if (document.hidden && !this.#divider) this.#divide(element);
    if (!this.#stuck && !own) this.#showNewer(this.#unseen + 1);
    this.look();
    return true;
  }

  /** Shows messages of the past, as far as they are not known. more: the room remembers others before them; undefined: that stays as it is. */
  addPast(messages: Shown[], more?: boolean): void {
    const isFirst = this.#log.childElementCount === 0;
    const anchor = this.#stuck ? undefined : [...this.#log.children].find((e) => e.getBoundingClientRect().bottom > this.#scroll.getBoundingClientRect().top);
    const before = anchor?.getBoundingClientRect().top ?? 0;
    this.#log.setAttribute('aria-live', 'off'); // a screen reader need not read the whole past
    for (const message of messages) this.#insertMessage(message);
    this.#more = more ?? this.#more;
    this.#showTop();
    this.showEmpty();
    if (anchor) this.#scroll.scrollTop += anchor.getBoundingClientRect().top - before; // what one reads stays where it is
    this.#divideAtRead(isFirst);
    setTimeout(() => this.#log.setAttribute('aria-live', 'polite'));
    this.look();
  }

  /** Asks for more of the past if the reader is near the beginning of what is shown. */
  fill(): void {
    if (this.#more && this.#scroll.clientHeight > 0 && this.#scroll.scrollTop < nearTop) this.listener.older();
  }

  /** A line that is not a message, at the end or behind the message with that offset. */
  notice(key: string, args?: object, behind = this.#offset): void {
    const place = Math.floor(Math.min(behind, this.#offset)) + 0.5; // so that the message itself comes before it, and the next one behind
    const text = make('span');
    say(text, key, args);
    this.#insert(make('li', 'notice', text), this.#epoch, place);
  }

  /** Says that nothing was said, if that is so. */
  showEmpty(): void {
    this.#empty.hidden = this.#log.childElementCount + $('pending').childElementCount > 0;
  }

  toBottom(): void {
    this.#jump();
    this.#showNewer(0);
    this.fill();
    this.look();
  }

  /** Keeps the end in view, if that is where the reader is. */
  follow(): void {
    if (this.#stuck) this.toBottom();
  }

  /** Leads the reader to a message. Returns whether it is there. */
  show({ epoch, offset }: Position): boolean {
    const element = this.#at(epoch, offset);
    if (!element) return false;
    this.#stuck = false;
    element.scrollIntoView({ block: 'center' });
    element.tabIndex = -1;
    element.focus({ preventScroll: true });
    element.classList.remove('found');
    void element.offsetWidth; // so that the animation begins again
    element.classList.add('found');
    return true;
  }

  /** The message before or behind another one, or the last one. */
  neighbour(of: Position | undefined, step: -1 | 1): Shown | undefined {
    const all = [...this.#log.querySelectorAll<HTMLElement>('.message')];
    const at = of ? all.findIndex((e) => e.dataset.epoch === of.epoch && Number(e.dataset.offset) === of.offset) : all.length;
    const element = all[at + step];
    return element && this.#shown.get(element);
  }

  /** Says how far the reader has seen, in the next frame. */
  look(): void {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      const end = this.#scroll.getBoundingClientRect().bottom + 1;
      if (document.hidden || end <= 1) return;
      for (let e = this.#log.lastElementChild as HTMLElement | null; e; e = e.previousElementSibling as HTMLElement | null) {
        if (!e.matches('.message') || e.getBoundingClientRect().bottom > end) continue;
        this.listener.seen({ epoch: e.dataset.epoch!, offset: Number(e.dataset.offset) });
        return;
      }
    });
  }

  /** The reader goes away: what comes now is new when it returns. */
  away(): void {
    this.#divide(undefined);
  }

  get #isAtBottom(): boolean {
    return this.#scroll.scrollHeight - this.#scroll.scrollTop - this.#scroll.clientHeight <= nearBottom;
  }

  #jump(): void {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#top = this.#scroll.scrollTop;
    this.#stuck = true;
  }

  #at(epoch: string, offset: number): HTMLElement | undefined {
    return [...this.#log.querySelectorAll<HTMLElement>(`.message[data-offset="${Number(offset)}"]`)].find((e) => e.dataset.epoch === epoch);
  }

  #insertMessage(message: Shown): HTMLElement | undefined {
    const key = `${message.from} ${message.id}`;
    if (this.#known.has(key)) return undefined;
    this.#known.add(key);
    const element = messageElement(message, message.from === this.own, this.listener);
    Object.assign(element.dataset, { key, from: message.from, time: message.time });
    this.#shown.set(element, message);
    this.#insert(element, message.epoch, message.offset);
    return element;
  }

  /** Puts a line behind those that the room has before it. Offsets of different epochs cannot be compared: a new one begins at the end. */
  #insert(element: HTMLElement, epoch: string, offset: number): void {
    const stay = this.#stuck;
    this.#empty.hidden = true;
    Object.assign(element.dataset, { epoch, offset });
    let before: HTMLElement | null = null;
    for (let e = this.#log.lastElementChild as HTMLElement | null; e && e.dataset.epoch === epoch && Number(e.dataset.offset) > offset;
      e = e.previousElementSibling as HTMLElement | null) before = e;
    this.#log.insertBefore(element, before);
    if (!before) [this.#epoch, this.#offset] = [epoch, offset];
    this.#adjust(element);
    if (before) this.#adjust(sibling(element, 'nextElementSibling'));
    if (stay) {
      this.#trim();
      this.toBottom();
    }
    this.listener.changed();
  }

  /** Takes the oldest lines away, when nobody looks at them. */
  #trim(): void {
    while (this.#log.childElementCount > maxShown) {
      const first = this.#log.firstElementChild as HTMLElement;
      forgetPicture(first);
      this.#known.delete(first.dataset.key ?? '');
      if (first.matches('.message') && first.dataset.epoch === this.#epoch) this.#more = true;
      if (first === this.#divider) this.#divider = undefined;
      first.remove();
      this.#showTop();
    }
  }

  /** Groups a message with the one before it, or puts the day between them. */
  #adjust(element: HTMLElement | undefined): void {
    if (!element?.matches('.message')) return;
    if (element.previousElementSibling?.matches('.day')) element.previousElementSibling.remove();
    const { from, time, epoch, offset } = element.dataset;
    const before = sibling(element, 'previousElementSibling');
    if (!sameDay(before ? before.dataset.time : Date.now(), time)) {
      const separator = dayElement(time!);
      Object.assign(separator.dataset, { epoch, offset });
      this.#log.insertBefore(separator, element);
    }
    const grouped = before !== undefined && before === element.previousElementSibling && before.dataset.from === from
      && Number(time) - Number(before.dataset.time) < groupWithin;
    element.classList.toggle('grouped', grouped);
  }

  /** Puts the line above the first message that is new to the reader, as soon as it is known which one that is. */
  #divideAtRead(isFirst: boolean): void {
    if (!this.#read) return;
    const { epoch, offset } = this.#read;
    const all = [...this.#log.querySelectorAll<HTMLElement>('.message')];
    const isNew = (e: HTMLElement) => e.dataset.epoch !== epoch || Number(e.dataset.offset) > offset;
    const first = all.findIndex((e) => isNew(e) && e.dataset.from !== this.own);
    if (first < 0 || first === 0 && this.#more) return; // it may be further up
    this.#read = undefined;
    this.#divide(all[first]);
    if (!isFirst || !this.#divider) return;
    this.#divider.scrollIntoView({ block: 'start' });
    this.#stuck = this.#isAtBottom;
    if (!this.#stuck) this.#showNewer(all.slice(first).filter((e) => e.dataset.from !== this.own).length);
  }

  /** Puts the line there, or takes it away. */
  #divide(above: HTMLElement | undefined): void {
    const old = this.#divider;
    const behind = old && sibling(old, 'nextElementSibling');
    old?.remove();
    this.#divider = undefined;
    this.#adjust(behind);
    if (!above) return;
    const text = make('span');
    say(text, 'log.unread');
    this.#divider = make('li', 'unread', text);
    Object.assign(this.#divider.dataset, { epoch: above.dataset.epoch, offset: above.dataset.offset });
    this.#log.insertBefore(this.#divider, above.previousElementSibling?.matches('.day') ? above.previousElementSibling : above);
    this.#adjust(above);
    this.follow();
  }

  #showNewer(count: number): void {
    this.#unseen = count;
    this.#newer.hidden = count === 0;
    if (count > 0) say(this.#newer, 'log.newer', { n: count });
  }

  #showTop(): void {
    $('older').hidden = !this.#more;
    $('beginning').hidden = this.#more || !this.#log.querySelector('.message');
  }
}

/** The next message in a direction. */
function sibling(element: HTMLElement, next: 'nextElementSibling' | 'previousElementSibling'): HTMLElement | undefined {
  let e = element[next];
  while (e && !e.matches('.message')) e = e[next];
  return (e as HTMLElement | null) ?? undefined;
}
