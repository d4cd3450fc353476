// Making elements. Text becomes text, never HTML: nothing here or elsewhere on the page parses a string as markup.

/** An element with a class and children (elements or strings). */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

export const $ = (id) => document.getElementById(id);

/** Shows an error where it belongs, or takes it away. */
export function showError(element, text) {
  element.textContent = text ?? '';
  element.hidden = !text;
}

/** A disc with the first character of a name, in a colour of its own. */
export function avatar(name) {
  const disc = make('span', 'avatar', [...name][0].toUpperCase());
  disc.setAttribute('aria-hidden', 'true');
  disc.style.setProperty('--hue', hue(name));
  return disc;
}

function hue(name) {
  let hash = 7;
  for (const c of name.toLowerCase()) hash = (hash * 31 + c.codePointAt(0)) % 360;
  return String(hash);
}

const address = /https?:\/\/[^\s<>"'`\u3001\u3002\uff0c\uff1b\uff01\uff1f\uff08\uff09]+/g; // Chinese text has no spaces around one
const trailing = /[.,;:!?)\]}\u3001\u3002\uff0c\uff1b\uff1a\uff01\uff1f\uff09\u3011\u300b\u201d]+$/; // also the Chinese ones

/** Text in which addresses are links. They open apart, without telling the other side where they came from. */
export function linked(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(address)) {
    const url = match[0].replace(trailing, '');
    if (!URL.canParse(url)) continue;
    const link = make('a', '', url);
    link.href = url;
    link.target = '_blank';
    link.rel = 'noopener noreferrer nofollow';
    parts.push(text.slice(end, match.index), link);
    end = match.index + url.length;
  }
  parts.push(text.slice(end));
  return parts;
}
