// How one message looks.

import { avatar, icon, make } from '../shared/dom.js';
import { label, locale, onLanguage, say, t } from '../shared/i18n.js';
import { formatted } from './formatted.js';
import type { Quote, Shown } from './message.js';
import { enlarge } from './viewer.js';

const replyIcon = 'M9 7L4 12l5 5M4.500 12H14a6 6 0 0 1 6 6v1';

/** What can be done with a message. */
export interface Actions {
  reply(message: Shown): void;
  jump(to: Quote): void;
}

const pictures = new WeakMap<Element, string>(); // button -> address of its Blob

/** The line of a message. One that is not confirmed yet cannot be replied to, and has a place for what becomes of it. */
export function messageElement(message: Shown, own: boolean, actions: Actions, waiting = false): HTMLLIElement {
  const time = make('time');
  time.dateTime = new Date(message.time).toISOString();
  showTime(time);
  const content = message.blob ? picture(message, message.blob) : bubble(message.text ?? '');
  const body = make('div', 'body', make('p', 'meta', make('span', 'who', message.from), ' ', time));
  if (message.reply) body.append(quoteElement(message.reply, actions));
  body.append(waiting ? content : make('div', 'said', content, replyButton(message, actions)));
  if (waiting) body.append(make('div', 'status'));
  const element = make('li', own ? 'message own' : 'message', avatar(message.from), body);
  element.dataset.id = message.id;
  return element;
}

function bubble(text: string): HTMLElement {
  const element = make('div', 'bubble', ...formatted(text));
  // A few emoji and nothing else are shown large.
  if (/\p{Extended_Pictographic}/u.test(text) && !/[\p{L}\p{N}\p{P}]/u.test(text) && [...text].length <= 8) element.classList.add('large');
  return element;
}

function replyButton(message: Shown, actions: Actions): HTMLButtonElement {
  const button = make('button', 'icon reply', icon(replyIcon));
  button.type = 'button';
  button.tabIndex = -1; // by keyboard one chooses with the arrow keys, from where one writes
  label(button, 'reply.to', { from: message.from });
  button.onclick = () => actions.reply(message);
  return button;
}

/** What a message replies to. It leads there. */
function quoteElement(quote: Quote, actions: Actions): HTMLButtonElement {
  const button = make('button', 'quote', ...quoteContent(quote));
  button.type = 'button';
  label(button, 'reply.jump', { from: quote.from });
  button.onclick = () => actions.jump(quote);
  return button;
}

export function quoteContent({ from, text, picture: isPicture }: Quote): Node[] {
  const what = make('span', 'quoted', text);
  if (isPicture && !text) say(what, 'reply.picture');
  return isPicture ? [make('strong', '', from), make('span', 'film', '🖼'), what] : [make('strong', '', from), what];
}

function picture({ from, name = '', width, height }: Shown, blob: Blob): HTMLButtonElement {
  const url = URL.createObjectURL(blob);
  const image = make('img');
  if (width && height) { // keeps the place free, so nothing jumps
    image.style.setProperty('--width', `${width}px`);
    image.style.setProperty('--ratio', String(width / height));
    image.classList.add('sized');
  }
  image.src = url;
  image.alt = t('picture.alt', { from, name });
  const button = make('button', 'picture', image);
  button.type = 'button';
  label(button, 'picture.enlarge', { from });
  button.onclick = () => enlarge({ url, from, name: name || 'picture' });
  image.onerror = () => {
    if (!pictures.has(button)) return; // it was taken away
    const broken = make('span', 'broken');
    say(broken, 'picture.broken');
    button.disabled = true;
    button.replaceChildren(broken);
  };
  pictures.set(button, url);
  return button;
}

/** Gives the memory of a message's picture back. */
export function forgetPicture(element: Element): void {
  const button = element.querySelector('.picture');
  const url = button && pictures.get(button);
  if (!url) return;
  pictures.delete(button);
  URL.revokeObjectURL(url);
}

const dayOf = (time: unknown) => new Date(Number(time)).toDateString();

/** Whether two messages were written on the same day. */
export const sameDay = (a: unknown, b: unknown) => dayOf(a) === dayOf(b);

/** A line between two days. */
export function dayElement(time: string): HTMLLIElement {
  const element = make('li', 'day', make('span'));
  element.dataset.time = time;
  showDay(element);
  return element;
}

function showTime(element: HTMLTimeElement): void {
  element.textContent = new Intl.DateTimeFormat(locale(), { hour: '2-digit', minute: '2-digit', hour12: false }).format(new Date(element.dateTime));
}

function showDay(element: HTMLElement): void {
  const date = new Date(Number(element.dataset.time));
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 86_400_000);
  const text = days === 0 ? t('day.today') : days === 1 ? t('day.yesterday') : new Intl.DateTimeFormat(locale(), { dateStyle: 'full' }).format(date);
  element.firstElementChild!.textContent = text;
}

onLanguage(() => {
  for (const time of document.querySelectorAll<HTMLTimeElement>('#scroll time')) showTime(time);
  for (const day of document.querySelectorAll<HTMLElement>('#scroll .day')) showDay(day);
});
