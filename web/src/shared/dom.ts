// Making elements. Text becomes text, never HTML: nothing here or elsewhere on the pages parses a string as markup.

/** An element with a class and children (elements or strings). */
export function make<K extends keyof HTMLElementTagNameMap>(tag: K, className = '', ...children: (Node | string)[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** The element with an id, which the page has. */
export function $<E extends HTMLElement = HTMLElement>(id: string): E {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element #${id}`);
  return element as E;
}

const svg = 'http://www.w3.org/2000/svg';

/** A picture of lines on a field of 24 by 24. */
export function icon(path: string): SVGSVGElement {
  const picture = document.createElementNS(svg, 'svg');
  picture.setAttribute('viewBox', '0 0 24 24');
  picture.setAttribute('aria-hidden', 'true');
  const lines = document.createElementNS(svg, 'path');
  lines.setAttribute('d', path);
  picture.append(lines);
  return picture;
}

/** Shows an error where it belongs, or takes it away. */
export function showError(element: HTMLElement, text?: string): void {
  element.textContent = text ?? '';
  element.hidden = !text;
}

/** A disc with the first character of a name, in a colour of its own. */
export function avatar(name: string): HTMLSpanElement {
  const disc = make('span', 'avatar', [...name][0]?.toUpperCase() ?? '?');
  disc.setAttribute('aria-hidden', 'true');
  disc.style.setProperty('--hue', String(hue(name)));
  return disc;
}

/** A hue from 0 to 359 that a name always has. */
export function hue(name: string): number {
  let hash = 7;
  for (const c of name.toLowerCase()) hash = (hash * 31 + c.codePointAt(0)!) % 360;
  return hash;
}

const address = /https?:\/\/[^\s<>"'`\u3001\u3002\uff0c\uff1b\uff01\uff1f\uff08\uff09]+/g; // Chinese text has no spaces around one
const trailing = /[.,;:!?)\]}\u3001\u3002\uff0c\uff1b\uff1a\uff01\uff1f\uff09\u3011\u300b\u201d]+$/; // also the Chinese ones

/** Text in which addresses are links. They open apart, without telling the other side where they came from. */
export function linked(text: string): (Node | string)[] {
  const parts: (Node | string)[] = [];
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
