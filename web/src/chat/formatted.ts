// Text as it is shown: addresses are links, and what stands between backticks is code. Everything is made of elements and text, never markup.

import { linked, make } from '../shared/dom.js';

const code = /```(?:([\w+#.-]{1,20})?\n)?([\s\S]+?)```|`([^`\n]+)`/g;

export function formatted(text: string): (Node | string)[] {
  const parts: (Node | string)[] = [];
  let end = 0;
  for (const match of text.matchAll(code)) {
    const [whole, language, block, inline] = match;
    if (inline !== undefined) {
      parts.push(...linked(text.slice(end, match.index)), make('code', '', inline));
      end = match.index + whole.length;
      continue;
    }
    const element = make('pre', 'code', make('code', '', block!.replace(/\n$/, '')));
    element.tabIndex = 0; // a long line can be scrolled by keyboard
    if (language) element.dataset.language = language;
    parts.push(...linked(text.slice(end, match.index).replace(/\n$/, '')), element); // a block begins a line and ends one by itself
    end = match.index + whole.length;
    if (text[end] === '\n') end++;
  }
  parts.push(...linked(text.slice(end)));
  return parts.filter((part) => part !== '');
}
