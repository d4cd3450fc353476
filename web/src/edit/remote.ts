// The cursors and selections of others in the editor.

import type { EditorState, Range } from '@codemirror/state';
import { Annotation } from '@codemirror/state';
import { Decoration, type DecorationSet, EditorView, ViewPlugin, type ViewUpdate, WidgetType } from '@codemirror/view';
import type { Awareness } from 'y-protocols/awareness';
import * as Y from 'yjs';
import { make } from '../shared/dom.js';
import { personOf } from './people.js';

interface Cursor {
  anchor: unknown;
  head: unknown;
}

const moved = Annotation.define<boolean>();

/** A line where somebody's cursor is, with a name that fades when it has not moved for a while. */
class Caret extends WidgetType {
  constructor(readonly name: string, readonly hue: number, readonly place: string) {
    super();
  }

  override eq(other: Caret): boolean {
    return other.name === this.name && other.hue === this.hue && other.place === this.place;
  }

  override toDOM(): HTMLElement {
    const caret = make('span', 'caret', make('span', 'caret-name', this.name));
    caret.setAttribute('aria-hidden', 'true'); // the list of people says who is here
    caret.style.setProperty('--hue', String(this.hue));
    return caret;
  }

  override ignoreEvent(): boolean {
    return true;
  }
}

/** Where a position of a client is in the text now. */
function indexOf(position: unknown, text: Y.Text): number | undefined {
  try {
    const found = Y.createAbsolutePositionFromRelativePosition(Y.createRelativePositionFromJSON(position), text.doc!);
    return found?.type === text ? found.index : undefined;
  } catch {
    return undefined; // other programs may say anything
  }
}

function decorate(state: EditorState, text: Y.Text, awareness: Awareness): DecorationSet {
  const all: Range<Decoration>[] = [];
  for (const [id, said] of awareness.getStates()) {
    const cursor = said.cursor as Cursor | undefined;
    if (id === awareness.clientID || !cursor) continue;
    const [anchor, head] = [indexOf(cursor.anchor, text), indexOf(cursor.head, text)];
    if (anchor === undefined || head === undefined || Math.max(anchor, head) > state.doc.length) continue;
    const { name, hue } = personOf(id, said);
    if (anchor !== head) {
      const style = `background-color: oklch(.65 .14 ${hue} / 28%)`; // a number of ours
      all.push(Decoration.mark({ class: 'selected', attributes: { style } }).range(Math.min(anchor, head), Math.max(anchor, head)));
    }
    all.push(Decoration.widget({ side: head > anchor ? -1 : 1, widget: new Caret(name, hue, JSON.stringify(cursor)) }).range(head));
  }
  return Decoration.set(all, true);
}

/** Shows others, and tells them where the own cursor is. */
export function remote(text: Y.Text, awareness: Awareness) {
  class Remote {
    decorations = Decoration.none;
    readonly redraw: (changes: { added: number[]; updated: number[]; removed: number[] }) => void;

    constructor(view: EditorView) {
      this.redraw = () => queueMicrotask(() => view.dispatch({ annotations: moved.of(true) })); // not within another update of the view
      awareness.on('change', this.redraw);
      this.decorations = decorate(view.state, text, awareness);
    }

    update(update: ViewUpdate): void {
      if (update.view.hasFocus && (update.selectionSet || update.docChanged || update.focusChanged)) this.tell(update.state);
      this.decorations = update.docChanged || update.transactions.some((one) => one.annotation(moved)) ? decorate(update.state, text, awareness) : this.decorations;
    }

    tell({ selection: { main } }: EditorState): void {
      const before = awareness.getLocalState();
      const [anchor, head] = [main.anchor, main.head].map((at) => Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(text, at)));
      if (before && JSON.stringify(before.cursor) !== JSON.stringify({ anchor, head })) awareness.setLocalStateField('cursor', { anchor, head });
    }

    destroy(): void {
      awareness.off('change', this.redraw);
    }
  }
  return ViewPlugin.fromClass(Remote, { decorations: (plugin) => plugin.decorations });
}
