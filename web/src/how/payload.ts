// The payload of a frame: masked, the key, unmasked; and what it is.

import { make } from '../shared/dom.js';
import { say } from '../shared/i18n.js';
import { bits, glyph, hex, roughly, textOf } from './bytes.js';
import type { Frame } from './frame.js';

/** Bytes of the payload that are shown one by one. */
const shownBytes = 128;

const narrow = matchMedia('(max-width: 46rem)');

export function drawPayload(root: HTMLElement, frame: Frame): void {
  root.replaceChildren();
  if (frame.length === 0) {
    const none = make('p', 'muted');
    say(none, 'payload.none');
    root.append(none);
    return;
  }
  if (frame.masked) root.append(equation(frame, 0));
  root.append(dump(frame));
  const hidden = frame.length - Math.min(shownBytes, frame.payload.length);
  if (hidden > 0) {
    const more = make('p', 'muted small');
    say(more, 'payload.more', { bytes: hidden });
    root.append(more);
  }
  root.append(...reading(frame));
}

/** How a byte is unmasked. */
function equation(frame: Frame, at: number): HTMLElement {
  const { key } = frame;
  const [wire, with_] = [frame.payload[at]!, key[at % 4]!];
  const plain = wire ^ with_;
  const caption = make('p', 'small muted');
  say(caption, 'payload.equation', { at, key: at % 4, glyph: glyph(plain) });
  const term = (byte: number, sign: string) => make('span', 'term', make('span', 'muted', sign), make('span', '', bits(byte)), make('span', 'muted', hex(byte)));
  return make('div', 'equation', caption, make('div', 'terms mono', term(wire, ''), term(with_, '⊕'), term(plain, '=')));
}

/** Lines of 16 bytes, or of 8 on a phone. */
function dump(frame: Frame): HTMLElement {
  const width = narrow.matches ? 8 : 16;
  const table = make('table', 'dump mono');
  const { plain, key } = frame;
  const end = Math.min(shownBytes, frame.payload.length);
  for (let at = 0; at < end; at += width) {
    const places = Array.from({ length: Math.min(width, end - at) }, (_, i) => at + i);
    const body = make('tbody', '');
    const line = (name: string, text: (i: number) => string) => {
      const head = make('th', '');
      head.scope = 'row';
      say(head, `payload.${name}`);
      const row = make('tr', `dump-${name}`, head, ...places.map((i) => {
        const cell = make('td', '', text(i));
        cell.dataset.at = String(i);
        return cell;
      }));
      body.append(row);
    };
    line('wire', (i) => hex(frame.payload[i]!));
    if (frame.masked) {
      line('key', (i) => hex(key[i % 4]!));
      line('plain', (i) => hex(plain[i]!));
    }
    if (!frame.compressed) line('text', (i) => glyph(plain[i]!));
    table.append(body);
  }
  if (frame.masked) {
    table.onpointerover = ({ target }) => {
      const at = (target as Element).closest<HTMLElement>('[data-at]')?.dataset.at;
      if (at !== undefined) table.parentElement!.parentElement!.querySelector('.equation')?.replaceWith(equation(frame, Number(at)));
    };
  }
  return make('div', 'wide', table);
}

/** What the payload is. */
function reading(frame: Frame): HTMLElement[] {
  if (frame.type === 'close') {
    const { code, reason } = frame.closing;
    return code === undefined ? [] : [quoted('payload.close', { code, reason: reason.length > 0 }, reason)];
  }
  if (frame.message) {
    const text = frame.type === 'binary' ? undefined : textOf(frame.message) ?? roughly(frame.message);
    return [quoted('payload.inflated', { from: frame.length, to: frame.inflated }, text ?? [...frame.message.slice(0, shownBytes)].map(hex).join(' '))];
  }
  if (frame.compressed) return [quoted('payload.compressed', {}, '')];
  if (frame.type === 'binary') return [];
  const text = textOf(frame.plain);
  if (text !== undefined) return [quoted('payload.utf8', {}, text)];
  return [quoted(frame.length > frame.payload.length || frame.opcode === 0 || !frame.fin ? 'payload.cut' : 'payload.invalid', {}, roughly(frame.plain))];
}

function quoted(key: string, args: object, text: string): HTMLElement {
  const caption = make('p', 'caption');
  say(caption, key, args);
  return make('div', 'reading', caption, ...(text ? [make('pre', 'mono quoted', text)] : []));
}
