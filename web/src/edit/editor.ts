// The editor: CodeMirror on a text of Yjs, with markdown in colour.

import { defaultKeymap } from '@codemirror/commands';
import { defineLanguageFacet, HighlightStyle, Language, syntaxHighlighting } from '@codemirror/language';
import { Compartment, EditorState } from '@codemirror/state';
import { EditorView, keymap, placeholder } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { GFM, parser } from '@lezer/markdown';
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next';
import type { Awareness } from 'y-protocols/awareness';
import * as Y from 'yjs';
import { remote } from './remote.js';

const markdown = new Language(defineLanguageFacet(), parser.configure(GFM), [], 'markdown');

const colours = HighlightStyle.define([
  { tag: tags.heading1, fontSize: '1.35em', fontWeight: '700' },
  { tag: tags.heading2, fontSize: '1.18em', fontWeight: '700' },
  { tag: tags.heading, fontWeight: '700' },
  { tag: tags.strong, fontWeight: '700' },
  { tag: tags.emphasis, fontStyle: 'italic' },
  { tag: tags.strikethrough, textDecoration: 'line-through' },
  { tag: [tags.link, tags.url], color: 'var(--info)' },
  { tag: tags.monospace, fontFamily: 'var(--mono)', fontSize: '.9em', color: 'var(--accent-strong)' },
  { tag: tags.quote, color: 'var(--muted)', fontStyle: 'italic' },
  { tag: [tags.processingInstruction, tags.contentSeparator, tags.meta], color: 'var(--muted)' },
]);

const look = EditorView.theme({
  '&': { position: 'absolute !important', inset: '0', color: 'var(--ink)', backgroundColor: 'transparent', fontSize: '1rem' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'inherit', lineHeight: '1.65', padding: '1.5rem 0 1rem', overflowX: 'hidden' },
  '.cm-content': { padding: '0', caretColor: 'var(--ink)' },
  '.cm-line': { padding: '0 1.4rem' },
  '.cm-placeholder': { color: 'var(--muted)' },
  '.caret': { position: 'relative', borderLeft: '2px solid oklch(.55 .15 var(--hue))', marginLeft: '-1px', marginRight: '-1px' },
  '.caret-name': {
    position: 'absolute', bottom: '1.25em', left: '-2px', padding: '0 .4em', borderRadius: '5px 5px 5px 0', whiteSpace: 'nowrap', zIndex: '3',
    fontSize: '.72rem', fontWeight: '650', lineHeight: '1.5', color: '#fff', backgroundColor: 'oklch(.5 .13 var(--hue))', pointerEvents: 'none',
    animation: 'fade 1s 4s forwards',
  },
  '.caret:hover .caret-name': { animation: 'none' },
  '@keyframes fade': { to: { opacity: '0' } },
});

export interface Editor {
  readonly view: EditorView;
  readonly undo: Y.UndoManager;
  /** Shows this and nothing else, and does not let anybody change it. */
  freeze(content: string): void;
  label(text: string, hint: string): void;
  destroy(): void;
}

/** Opens a text in an element. The undo manager knows only what this visitor has done here. */
export function edit(parent: HTMLElement, text: Y.Text, awareness: Awareness): Editor {
  const undo = new Y.UndoManager(text, { captureTimeout: 400 });
  const words = new Compartment();
  // What other programs write may have other ends of lines: here each character has its place.
  const looks = [EditorState.lineSeparator.of('\n'), EditorView.lineWrapping, markdown, syntaxHighlighting(colours), look];
  // Within a shadow root CodeMirror's styles are sheets made by script, which the page's content security policy allows.
  const root = parent.shadowRoot ?? parent.attachShadow({ mode: 'open' });
  root.replaceChildren();
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: text.toString(),
      extensions: [
        looks,
        keymap.of([...yUndoManagerKeymap, ...defaultKeymap]),
        yCollab(text, null, { undoManager: undo }),
        remote(text, awareness),
        words.of([]),
      ],
    }),
  });
  return {
    view,
    undo,
    freeze: (content) => view.setState(EditorState.create({
      doc: content, extensions: [looks, EditorState.readOnly.of(true), EditorView.editable.of(false), words.of(words.get(view.state) ?? [])],
    })),
    label: (label, hint) => view.dispatch({
      effects: words.reconfigure([EditorView.contentAttributes.of({ 'aria-label': label, spellcheck: 'true' }), placeholder(hint)]),
    }),
    destroy: () => {
      view.destroy();
      undo.destroy();
    },
  };
}
