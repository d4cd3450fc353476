// The field in which one writes: Enter sends, Shift and Enter begins a line, and the other side is told that one types.

export const maxText = 2000;

interface Options {
  form: HTMLFormElement;
  field: HTMLTextAreaElement;
  send(text: string): void;
  typing(yes: boolean): void;
}

export function compose({ form, field, send, typing }: Options): void {
  field.maxLength = maxText;
  const fit = () => {
    field.style.height = 'auto';
    field.style.height = `${Math.min(field.scrollHeight + 2, 140)}px`;
  };
  field.addEventListener('input', () => {
    fit();
    typing(field.value.trim() !== '');
  });
  field.addEventListener('blur', () => typing(false));
  field.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!text) return;
    field.value = '';
    fit();
    typing(false);
    send(text);
  });
}

/** Puts text where the cursor is. */
export function insert(field: HTMLTextAreaElement, text: string): void {
  field.focus();
  field.setRangeText(text, field.selectionStart, field.selectionEnd, 'end');
  field.dispatchEvent(new Event('input'));
}
