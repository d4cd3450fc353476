// What there is in the shop.

import { $, icon, make } from '../shared/dom.js';
import { onLanguage, locale, t } from '../shared/i18n.js';

const goods = [
  {
    key: 'pot', price: 48, hue: 165,
    picture: 'M7 9h9v6a4 4 0 0 1-4 4h-1a4 4 0 0 1-4-4zM16 11l4-2v2l-4 4M7 11H5a1.500 1.500 0 0 0 0 4h2M9 9a3 3 0 0 1 5 0M11.500 6v.01',
  },
  { key: 'cup', price: 14, hue: 30, picture: 'M6 9h10v5a4 4 0 0 1-4 4h-2a4 4 0 0 1-4-4zM16 10h1.500a2.500 2.500 0 0 1 0 5H16M9 3v2M13 3v2M5 21h12' },
  { key: 'tin', price: 19, hue: 95, picture: 'M7 8h10v12H7zM8 4h8l1 4H7zM10 12h4v4h-4z' },
  { key: 'lantern', price: 36, hue: 60, picture: 'M8 8h8l1.500 5L16 18H8l-1.500-5zM9 8V6h6v2M12 3v3M9 18v2h6v-2M12 11v4' },
  { key: 'tray', price: 27, hue: 220, picture: 'M3 14h18l-1.500 4h-15zM8 14V9h8v5M10 9V7h4v2' },
  { key: 'book', price: 22, hue: 300, picture: 'M5 4h6a2 2 0 0 1 2 2v14a2 2 0 0 0-2-2H5zM21 4h-6a2 2 0 0 0-2 2v14a2 2 0 0 1 2-2h6z' },
];

/** Shows it, and calls ask with the name of what somebody wants to know about. */
export function showGoods(ask: (name: string) => void): void {
  const show = () => $('goods').replaceChildren(...goods.map(({ key, price, hue, picture }) => {
    const name = t(`goods.${key}`);
    const drawing = make('div', 'drawing', icon(picture));
    drawing.style.setProperty('--hue', String(hue));
    const money = new Intl.NumberFormat(locale(), { style: 'currency', currency: 'EUR', maximumFractionDigits: 0 }).format(price);
    const button = make('button', 'button', t('shop.ask'));
    button.setAttribute('aria-label', t('shop.ask-about', { name }));
    button.onclick = () => ask(name);
    const foot = make('div', 'row between', make('strong', 'number', money), button);
    return make('li', 'card good', drawing, make('h3', '', name), make('p', 'muted small', t(`goods.${key}.text`)), foot);
  }));
  onLanguage(show);
  show();
}
