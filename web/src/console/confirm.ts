// Asks whether something that cannot be undone is to be done.

import { make } from '../shared/dom.js';
import { say } from '../shared/i18n.js';

interface Question {
  /** Keys of the texts, with their arguments. */
  title: [string, object?];
  lead: [string, object?][];
  action: string;
  /** Things to tick; the answer has them by their names. */
  choices?: Record<string, [string, object?]>;
}

export interface Answer {
  message: string;
  choices: Record<string, boolean>;
}

/** Undefined: it is not to be done. */
export function confirm({ title, lead, action, choices = {} }: Question): Promise<Answer | undefined> {
  const head = make('h2');
  say(head, ...title);
  const leads = lead.map((key) => {
    const p = make('p', 'muted');
    say(p, ...key);
    return p;
  });
  const [caption, message] = [make('label'), make('input', 'field')];
  say(caption, 'ask.message');
  Object.assign(message, { id: 'confirm-message', maxLength: 120, autocomplete: 'off' });
  caption.htmlFor = message.id;
  const boxes = Object.entries(choices).map(([name, key]) => {
    const [box, text] = [make('input'), make('span')];
    Object.assign(box, { type: 'checkbox', name });
    say(text, ...key);
    return { box, line: make('label', 'row', box, text) };
  });
  const [cancel, submit] = [make('button', 'button'), make('button', 'button danger')];
  cancel.type = 'button';
  say(cancel, 'ask.cancel');
  say(submit, action);
  const form = make('form', 'form', head, ...leads, caption, message, ...boxes.map(({ line }) => line), make('div', 'row end', cancel, submit));
  const dialog = make('dialog', 'dialog', form);
  document.body.append(dialog);
  dialog.showModal();
  cancel.focus(); // what cannot be undone takes a second step
  return new Promise((resolve) => {
    let answer: Answer | undefined;
    cancel.onclick = () => dialog.close();
    form.onsubmit = (event) => {
      event.preventDefault();
      answer = { message: message.value.trim(), choices: Object.fromEntries(boxes.map(({ box }) => [box.name, box.checked])) };
      dialog.close();
    };
    dialog.onclose = () => {
      dialog.remove();
      resolve(answer);
    };
  });
}
