// Where a message is written: text, emoji, and pictures by button, paste or drop, with a preview before they are sent.

import { $, make, showError } from './dom.js';
import { label, t } from './i18n.js';
import { pictureTypes } from './message.js';
import { limits } from './rooms.js';

const maxPreviews = 6;
const emoji = (
  '😀 😂 🥹 😊 😍 😎 🤔 😴 😭 😡 🥳 🤯 👍 👎 👏 🙏 💪 👋 🤝 👀 ❤️ 💔 🔥 ✨ ' +
  '🎉 🎁 🌸 🍀 🌙 ☀️ ☔ ⭐ ☕ 🍵 🍜 🍰 🍻 ⚽ 🎵 📷 💡 ✅ ❌ ❓ 🚀 🐱 🐶 🐼'
).split(' ');

const form = $('composer');
const text = $('text');
const panel = $('emoji');
const panelButton = $('emoji-button');
const fileInput = $('file');
const previews = $('previews');
const problem = $('composer-error');
const dropZone = $('drop');

/** Events: "submit" with { text, files } in detail. Whoever takes it calls clear(). */
export class Composer extends EventTarget {
  #files = new Map(); // file -> address of its preview

  constructor() {
    super();
    this.#fillPanel();
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    text.addEventListener('keydown', (event) => {
      // While an input method composes, Enter belongs to it.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#submit();
    });
    text.addEventListener('input', () => {
      this.#grow();
      showError(problem);
    });
    text.addEventListener('paste', (event) => this.#take(event, event.clipboardData));
    fileInput.addEventListener('change', () => {
      this.#addFiles(fileInput.files);
      fileInput.value = '';
      text.focus();
    });
    this.#listenForDrops($('chat'));
    document.addEventListener('click', (event) => {
      if (!panel.contains(event.target) && !panelButton.contains(event.target)) this.toggleEmoji(false);
    });
  }

  get empty() {
    return text.value.trim() === '' && this.#files.size === 0;
  }

  focus() {
    text.focus();
  }

  choosePicture() {
    fileInput.click();
  }

  error(message) {
    showError(problem, message);
  }

  clear() {
    text.value = '';
    for (const file of [...this.#files.keys()]) this.#removeFile(file);
    this.#grow();
    showError(problem);
  }

  toggleEmoji(open = panel.hidden) {
    if (panel.hidden === !open) return;
    const hadFocus = panel.contains(document.activeElement);
    panel.hidden = !open;
    panelButton.setAttribute('aria-expanded', String(open));
    if (open) panel.querySelector('[tabindex="0"]').focus();
    else if (hadFocus) text.focus();
  }

  #submit() {
    const value = text.value.trim();
    if (this.empty) return;
    if ([...value].length > limits.text) {
      this.error(t('error.text-too-long', { limit: limits.text }));
      return;
    }
    this.toggleEmoji(false);
    this.dispatchEvent(new CustomEvent('submit', { detail: { text: value, files: [...this.#files.keys()] } }));
  }

  #grow() {
    text.style.setProperty('height', 'auto');
    text.style.setProperty('height', `${Math.min(text.scrollHeight, 168)}px`);
  }

  // A grid with one tab stop; the arrow keys move in it, Escape closes it.
  #fillPanel() {
    emoji.forEach((one, i) => {
      const button = make('button', '', one);
      button.type = 'button';
      button.tabIndex = i === 0 ? 0 : -1;
      button.onclick = () => {
        text.setRangeText(one, text.selectionStart, text.selectionEnd, 'end');
        this.#grow();
      };
      panel.append(button);
    });
    panel.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        this.toggleEmoji(false);
        event.stopPropagation();
        return;
      }
      const columns = getComputedStyle(panel).gridTemplateColumns.split(' ').length;
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
      const target = panel.children[[...panel.children].indexOf(document.activeElement) + step];
      if (!step || !target) return;
      event.preventDefault();
      document.activeElement.tabIndex = -1;
      target.tabIndex = 0;
      target.focus();
    });
  }

  #listenForDrops(area) {
    let depth = 0; // entering a child comes before leaving its parent
    const show = (change) => {
      depth = Math.max(0, depth + change);
      dropZone.hidden = depth === 0;
    };
    area.addEventListener('dragenter', (event) => event.dataTransfer.types.includes('Files') && show(1));
    area.addEventListener('dragleave', () => show(-1));
    area.addEventListener('dragover', (event) => event.dataTransfer.types.includes('Files') && event.preventDefault());
    area.addEventListener('drop', (event) => {
      depth = 0;
      dropZone.hidden = true;
      this.#take(event, event.dataTransfer);
      text.focus();
    });
  }

  #take(event, data) {
    if (!data?.files.length) return;
    event.preventDefault();
    this.#addFiles(data.files);
  }

  #addFiles(files) {
    showError(problem);
    for (const file of files) {
      const megabytes = Math.floor(limits.picture / 2 ** 20);
      if (!pictureTypes.includes(file.type)) this.error(t('error.not-a-picture', { name: file.name }));
      else if (file.size > limits.picture) this.error(t('error.picture-too-large', { name: file.name, limit: megabytes }));
      else if (this.#files.size >= maxPreviews) this.error(t('error.too-many-pictures'));
      else this.#addFile(file);
    }
  }

  #addFile(file) {
    const url = URL.createObjectURL(file);
    this.#files.set(file, url);
    const image = make('img');
    image.src = url;
    image.alt = file.name;
    const remove = make('button', 'remove', '×');
    remove.type = 'button';
    label(remove, 'picture.remove', { name: file.name });
    remove.onclick = () => {
      this.#removeFile(file);
      text.focus();
    };
    const item = make('li', '', image, make('span', 'size', size(file.size)), remove);
    item.dataset.url = url;
    previews.append(item);
    previews.hidden = false;
  }

  #removeFile(file) {
    const url = this.#files.get(file);
    this.#files.delete(file);
    URL.revokeObjectURL(url);
    previews.querySelector(`[data-url="${url}"]`).remove();
    previews.hidden = this.#files.size === 0;
  }
}

function size(bytes) {
  return bytes < 2 ** 20 ? `${Math.max(1, Math.round(bytes / 1024))} kB` : `${(bytes / 2 ** 20).toFixed(1)} MB`;
}
