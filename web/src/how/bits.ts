// The header of a frame bit by bit, as the RFC draws it: each field with its name, its bits and what they say.

import { make } from '../shared/dom.js';
import { label, say } from '../shared/i18n.js';
import { bits, hex } from './bytes.js';
import type { Field, FieldName, Frame } from './frame.js';

const narrow = matchMedia('(max-width: 46rem)');

/** Calls listener when the diagram has to be drawn anew. */
export const onWidth = (listener: () => void) => narrow.addEventListener('change', listener);

/** How many bytes of the payload are beside those of the header. */
const payloadShown = 8;

/** Draws the diagram, the bytes and the list of fields into an element. */
export function drawHeader(root: HTMLElement, frame: Frame): void {
  root.replaceChildren(diagram(frame), line(frame), list(frame));
}

/** Makes a field light up everywhere in the element when one points at it, comes to it by keyboard, or presses it; then it stays. */
export function lightUp(root: HTMLElement): void {
  let pinned: string | undefined;
  const light = (name?: string) => {
    for (const e of root.querySelectorAll<HTMLElement>('[data-fields]')) {
      e.classList.toggle('lit', name !== undefined && e.dataset.fields!.split(' ').includes(name));
    }
  };
  const nameAt = (target: EventTarget | null) => (target as Element).closest<HTMLElement>('[data-fields]')?.dataset.fields!.split(' ').at(-1);
  root.addEventListener('pointerover', ({ target }) => light(nameAt(target) ?? pinned));
  root.addEventListener('pointerleave', () => light(pinned));
  root.addEventListener('focusin', ({ target }) => light(nameAt(target) ?? pinned));
  root.addEventListener('focusout', () => light(pinned));
  root.addEventListener('click', ({ target }) => {
    const name = nameAt(target);
    pinned = name === pinned ? undefined : name;
    light(pinned);
  });
}

/** Rows of 32 bits, or of 16 on a phone. */
function diagram(frame: Frame): HTMLElement {
  const width = narrow.matches ? 16 : 32;
  const all = [...frame.header].map(bits).join('');
  const grid = make('div', 'bits');
  grid.style.setProperty('--bits', String(width));
  grid.dataset.bits = all;
  for (let bit = 0; bit < width; bit++) {
    const number = make('span', bit % 8 ? 'ruler' : 'ruler byte', String(bit));
    number.setAttribute('aria-hidden', 'true');
    grid.append(number);
  }
  for (let row = 0; row < all.length; row += width) {
    for (const field of frame.fields) {
      const [from, to] = [Math.max(field.from, row), Math.min(field.to, row + width)];
      if (from < to) grid.append(segment(field, all.slice(from, to), from === field.from, frame));
    }
  }
  if (frame.length > 0) {
    const rest = (width - (all.length % width)) % width;
    const roomy = rest > 4; // for its name
    if (rest > 0) grid.append(payload(frame, rest, roomy));
    if (!roomy || frame.length * 8 > rest) grid.append(payload(frame, width, !roomy));
  }
  return grid;
}

function segment(field: Field, digits: string, begins: boolean, frame: Frame): HTMLElement {
  const name = make('span', 'segment-name');
  say(name, begins ? `short.${field.name}` : 'short.more');
  const part = make('button', `segment field-${field.name}${digits.length === 1 ? ' one-bit' : ''}`, name, make('span', 'segment-bits', ...[...digits].map((digit) => make('span', '', digit))));
  part.type = 'button';
  part.style.gridColumn = `span ${digits.length}`;
  part.dataset.fields = field.name;
  label(part, 'bits.segment', { field: field.name, bits: digits, value: shownValue(field, frame) });
  return part;
}

function payload(frame: Frame, width: number, named: boolean): HTMLElement {
  const part = make('div', 'segment field-payload');
  if (named) {
    const name = make('span', 'segment-name');
    say(name, 'bits.payload', { bytes: frame.length });
    part.append(name);
  } else {
    part.append('…');
  }
  part.style.gridColumn = `span ${width}`;
  part.dataset.fields = 'payload';
  return part;
}

/** The header in hexadecimal, and where the payload begins. */
function line(frame: Frame): HTMLElement {
  const bytes = make('p', 'hex-line mono');
  frame.header.forEach((byte, i) => {
    const here = frame.fields.filter(({ from, to }) => from < i * 8 + 8 && to > i * 8);
    const shown = make('span', `hex-byte field-${here.at(-1)!.name}`, hex(byte));
    shown.dataset.fields = here.map(({ name }) => name).join(' ');
    bytes.append(shown, ' ');
  });
  frame.payload.slice(0, payloadShown).forEach((byte) => {
    const shown = make('span', 'hex-byte field-payload', hex(byte));
    shown.dataset.fields = 'payload';
    bytes.append(shown, ' ');
  });
  if (frame.length > payloadShown) bytes.append('…');
  return bytes;
}

/** What each field says. */
function list(frame: Frame): HTMLElement {
  const rows = frame.fields.map((field) => row(field.name, shownValue(field, frame), meaning(field, frame)));
  return make('dl', 'field-list', ...rows);
}

function row(name: FieldName, value: string, meaning: [key: string, args?: object]): HTMLElement {
  const [term, says] = [make('dt', ''), make('span', '')];
  say(term, `field.${name}`);
  say(says, ...meaning);
  const all = make('div', `field-${name}`, term, make('dd', '', make('code', 'mono', value), ' ', says));
  all.dataset.fields = name;
  return all;
}

function shownValue(field: Field, frame: Frame): string {
  if (field.name === 'opcode') return `0x${field.value.toString(16).toUpperCase()}`;
  if (field.name === 'key') return [...frame.key].map(hex).join(' ');
  return String(field.value);
}

/** What a field says, as the key of a text. */
function meaning({ name, value }: Field, frame: Frame): [key: string, args?: object] {
  switch (name) {
    case 'fin':
      return [value ? (frame.control ? 'means.fin-control' : frame.opcode ? 'means.fin-whole' : 'means.fin-last') : frame.control ? 'means.fin-wrong' : 'means.fin-more'];
    case 'rsv1':
      return [value ? 'means.rsv1' : frame.opcode === 0 || frame.control ? 'means.rsv1-none' : 'means.rsv-zero'];
    case 'rsv2':
    case 'rsv3':
      return [value ? 'means.rsv-wrong' : 'means.rsv-zero'];
    case 'opcode':
      return [`means.${frame.type}`];
    case 'mask':
      return [value ? (frame.server ? 'means.mask-wrong' : 'means.mask') : (frame.server ? 'means.unmasked' : 'means.unmasked-wrong')];
    case 'length':
      return [value < 126 ? 'means.length' : value === 126 ? 'means.length-16' : 'means.length-64', { bytes: value }];
    case 'extended':
      return ['means.extended', { bytes: value }];
    default:
      return ['means.key'];
  }
}
