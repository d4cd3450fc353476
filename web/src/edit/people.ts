// Who has the document open.

import type { Awareness } from 'y-protocols/awareness';
import { avatar, hue, make } from '../shared/dom.js';
import { say } from '../shared/i18n.js';

export interface Person {
  name: string;
  hue: number;
}

/** Somebody, as others see them: clients of other programs say what they like, so a name is cut to what fits and everything else is ours. */
export function personOf(id: number, said: { user?: { name?: unknown } }): Person {
  const name = typeof said.user?.name === 'string' ? said.user.name.trim().slice(0, 24) : '';
  const shown = name || `#${id % 1000}`;
  return { name: shown, hue: hue(shown) };
}

/** A colour for editors that take it from the state. */
export function colorOf(name: string): { color: string; colorLight: string } {
  const angle = hue(name);
  return { color: `hsl(${angle} 60% 40%)`, colorLight: `hsl(${angle} 60% 40% / 25%)` };
}

/** Fills a list: the visitor first. */
export function showPeople(list: HTMLElement, awareness: Awareness): void {
  const own = awareness.clientID;
  const lines = [...awareness.getStates()].sort(([a], [b]) => Number(b === own) - Number(a === own) || a - b).map(([id, said]) => {
    const { name } = personOf(id, said);
    const line = make('li', 'person', avatar(name), make('span', 'grow', name));
    if (id === own) {
      const you = make('span', 'pill');
      say(you, 'edit.you');
      line.append(you);
    }
    return line;
  });
  list.replaceChildren(...lines);
}
