// Answers that are ready: by the button, or by a slash at the beginning.

import { $, make } from '../shared/dom.js';
import { onLanguage, t } from '../shared/i18n.js';
import { insert } from './composer.js';

const answers = ['hello', 'moment', 'order', 'shipping', 'return', 'bye'];

export function canned(field: HTMLTextAreaElement, name: () => string): void {
  const [box, button] = [$('talk-canned'), $('talk-canned-open')];
  const open = (yes: boolean) => {
    box.hidden = !yes;
    button.setAttribute('aria-expanded', String(yes));
  };
  const show = () => box.replaceChildren(...answers.map((key) => {
    const choice = make('button', 'chip', t(`canned.${key}.short`));
    choice.type = 'button';
    choice.dataset.answer = key;
    choice.onclick = () => {
      if (field.value.startsWith('/')) field.value = '';
      insert(field, t(`canned.${key}`, { name: name() }));
      open(false);
    };
    return choice;
  }));
  button.onclick = () => open(box.hidden !== false);
  field.addEventListener('input', () => {
    if (!field.value.startsWith('/')) return;
    open(true);
    const wanted = field.value.slice(1).toLowerCase();
    for (const choice of box.querySelectorAll<HTMLElement>('button')) choice.hidden = !choice.textContent!.toLowerCase().includes(wanted);
  });
  field.addEventListener('keydown', (event) => {
    if (box.hidden || !field.value.startsWith('/')) return;
    if (event.key === 'Escape') open(false);
    if (event.key !== 'Enter') return;
    event.preventDefault(); // the first that fits
    event.stopImmediatePropagation();
    box.querySelector<HTMLElement>('button:not([hidden])')?.click();
  }, { capture: true });
  button.addEventListener('click', () => {
    for (const choice of box.querySelectorAll<HTMLElement>('button')) choice.hidden = false;
  });
  onLanguage(show);
  show();
}
