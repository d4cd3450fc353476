// The home page: a card for each page of the showcase, and whether the server is there.

import './style.css';
import cards from 'cards';
import { $, icon, make } from '../shared/dom.js';
import { current } from '../shared/i18n.js';
import { start } from '../shared/shell.js';
import { texts } from './texts.js';

const { connect, onLanguage } = start(texts);

function show(): void {
  $('cards').replaceChildren(...cards.map(({ id, icon: lines, title, lead }) => {
    const link = make('a', 'card', make('span', 'picture', icon(lines)), make('h2', '', title[current()]), make('p', 'muted', lead[current()]));
    link.href = `${id}/`;
    return make('li', '', link);
  }));
}

// The chat was at / once, and links to its rooms have gone around.
if (new URLSearchParams(location.search).has('room')) location.replace(`chat/${location.search}`);

onLanguage(show);
show();
connect();
