// A grid of emoji with one tab stop; the arrow keys move in it, Escape closes it.

import { make } from '../shared/dom.js';

const emoji = (
  '😀 😂 🥹 😊 😍 😎 🤔 😴 😭 😡 🥳 🤯 👍 👎 👏 🙏 💪 👋 🤝 👀 ❤️ 💔 🔥 ✨ ' +
  '🎉 🎁 🌸 🍀 🌙 ☀️ ☔ ⭐ ☕ 🍵 🍜 🍰 🍻 ⚽ 🎵 📷 💡 ✅ ❌ ❓ 🚀 🐱 🐶 🐼'
).split(' ');

export function fillEmoji(panel: HTMLElement, choose: (one: string) => void, close: () => void): void {
  for (const one of emoji) {
    const button = make('button', '', one);
    button.type = 'button';
    button.tabIndex = one === emoji[0] ? 0 : -1;
    button.onclick = () => choose(one);
    panel.append(button);
  }
  panel.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') {
      close();
      event.stopPropagation();
      return;
    }
    const columns = getComputedStyle(panel).gridTemplateColumns.split(' ').length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const focused = document.activeElement as HTMLElement;
    const target = step && (panel.children[[...panel.children].indexOf(focused) + step] as HTMLElement | undefined);
    if (!target) return;
    event.preventDefault();
    focused.tabIndex = -1;
    target.tabIndex = 0;
    target.focus();
  });
}
