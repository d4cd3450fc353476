// The scores page: one subscription for all matches, from the beginning of what the server keeps.

import './style.css';
import { $, make } from '../shared/dom.js';
import { start } from '../shared/shell.js';
import { Match, type Happening } from './match.js';
import { texts } from './texts.js';

const { t, connect, onLanguage } = start(texts);
const shown = 8; // matches; older ones make room
const matches = new Map<string, Match>(); // by topic

const client = connect();
client.subscribe<Happening>('demo.scores.*', {
  last: 1000,
  onMessage: ({ topic, data }) => {
    let match = matches.get(topic);
    if (!match) {
      match = new Match(topic, data);
      matches.set(topic, match);
      arrange();
    }
    match.add(data);
    summarise();
  },
  onGap: ({ reason }) => {
    if (reason === 'epoch') begin();
    $('gap').hidden = false;
    $('gap').textContent = t('scores.gap');
  },
});

/** The server has begun anew. */
function begin(): void {
  matches.clear();
  arrange();
}

/** Newest first. */
function arrange(): void {
  const newest = [...matches.values()].sort((a, b) => b.starts - a.starts);
  for (const old of newest.splice(shown)) matches.delete(old.topic);
  $('matches').replaceChildren(...newest.map(({ element }) => element));
  $('none').hidden = newest.length > 0;
}

function summarise(): void {
  const all = [...matches.values()];
  $('summary').textContent = t('scores.summary', { live: all.filter(({ live }) => live).length, goals: all.reduce((sum, { goals }) => sum + goals, 0) });
}

onLanguage(() => {
  summarise();
  if (!$('gap').hidden) $('gap').textContent = t('scores.gap');
});

setInterval(() => {
  $('clock').replaceChildren(make('span', 'dot'), new Date().toLocaleTimeString(document.documentElement.lang));
}, 1000);
