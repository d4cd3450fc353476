import { $ } from './dom.js';

let timer = 0;

/** Says something for a few seconds. */
export function toast(text: string): void {
  const shown = $('toast');
  shown.textContent = text;
  shown.hidden = false;
  clearTimeout(timer);
  timer = window.setTimeout(() => { shown.hidden = true; }, 4000);
}
