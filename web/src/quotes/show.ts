// What the table, the chart and the watch list have in common.

import { icon } from '../shared/dom.js';
import { label } from '../shared/i18n.js';

const rest = 350; // ms between two flashes of one price: faster ones are hard on the eyes
const flashed = new WeakMap<Element, number>();

/** Shows a number that goes up and down, and flashes when it is another one. anew: it is another quote's, or does not flash. */
export function paint(element: HTMLElement, text: string, direction: number, anew = false): void {
  const side = direction > 0 ? 'up' : direction < 0 ? 'down' : '';
  if (element.dataset.side !== side) element.dataset.side = side;
  if (anew) delete element.dataset.flash;
  if (element.textContent === text) return;
  element.textContent = text;
  const now = performance.now();
  if (anew || !side || now - (flashed.get(element) ?? 0) < rest) return;
  flashed.set(element, now);
  // Two names for one animation: with the other one it begins again, and the browser need not lay out the page in between.
  element.dataset.flash = element.dataset.flash === 'a' ? 'b' : 'a';
}

const starPath = 'M12 3.500l2.600 5.400 5.900.8-4.300 4.100 1 5.900L12 16.900l-5.200 2.800 1-5.900-4.300-4.100 5.900-.8z';

/** Makes a button the star of a symbol. */
export function star(button: HTMLButtonElement, symbol: string, on: boolean): void {
  if (!button.firstChild) button.append(icon(starPath));
  const state = `${symbol} ${on}`;
  if (button.dataset.star === state) return;
  button.dataset.star = state;
  button.setAttribute('aria-pressed', String(on));
  label(button, on ? 'star.remove' : 'star.add', { symbol });
}
