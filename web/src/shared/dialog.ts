// A dialog with one field.

import { make, showError } from './dom.js';
import { say } from './i18n.js';

interface Question {
  /** Its texts are `${texts}.title`, .lead, .label, .save, .cancel and .bad. */
  texts: string;
  value?: string;
  /** As of an input. */
  type?: string;
  /** Whether a value can be taken. */
  accept(value: string): boolean | Promise<boolean>;
}

/** Asks for a value; undefined if the visitor does not want to say. */
export function ask({ texts, value = '', type = 'text', accept }: Question): Promise<string | undefined> {
  const [title, lead, error] = [make('h2'), make('p', 'muted'), make('p', 'error')];
  const [caption, input] = [make('label'), make('input', 'field')];
  const [cancel, submit] = [make('button', 'button'), make('button', 'button primary')];
  for (const [element, key] of [[title, 'title'], [lead, 'lead'], [caption, 'label'], [cancel, 'cancel'], [submit, 'save']] as const) {
    say(element, `${texts}.${key}`);
  }
  input.id = 'dialog-field';
  caption.htmlFor = input.id;
  Object.assign(input, { value, type, autocomplete: 'off', spellcheck: false, maxLength: 256 });
  cancel.type = 'button';
  error.setAttribute('role', 'alert');
  error.hidden = true;
  const form = make('form', 'form', title, lead, caption, input, error, make('div', 'row end', cancel, submit));
  form.noValidate = true;
  const dialog = make('dialog', 'dialog', form);
  document.body.append(dialog);
  dialog.showModal();
  input.select();
  return new Promise((resolve) => {
    let answer: string | undefined;
    cancel.onclick = () => dialog.close();
    form.onsubmit = async (event) => {
      event.preventDefault();
      const given = input.value;
      if (await accept(given)) {
        answer = given;
        dialog.close();
        return;
      }
      showError(error, ' ');
      say(error, `${texts}.bad`);
      input.setAttribute('aria-invalid', 'true');
      input.focus();
    };
    dialog.onclose = () => {
      dialog.remove();
      resolve(answer);
    };
  });
}
