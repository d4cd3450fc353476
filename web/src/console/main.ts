// The console: figures come through a topic for operators, everything else is asked for.

import './style.css';
import type { Subscription } from 'duplex-client';
import { $ } from '../shared/dom.js';
import { operate } from '../shared/operator.js';
import { start } from '../shared/shell.js';
import type { Figures, Sum } from './figures.js';
import { Log } from './log.js';
import { Overview } from './overview.js';
import { Server } from './server.js';
import { Sessions } from './sessions.js';
import { Tabs } from './tabs.js';
import { texts } from './texts.js';
import { setUpPublish, Topics } from './topics.js';

const { connect } = start(texts);
const client = connect();
const server = new Server(client);
const overview = new Overview((tab, number) => tabs.count(tab, number));
let feed: Subscription<Figures> | undefined;
let refused = 0; // times in a row
const tabs = new Tabs(
  { sessions: new Sessions(server), topics: new Topics(server, publishTo), errors: new Log(server) },
  () => feed?.state === 'live',
);
setUpPublish(server);
$('unlock').addEventListener('click', () => void enter());
void enter();

/** Becomes an operator, as soon as there is a connection and a key. */
async function enter(): Promise<void> {
  $('locked').hidden = true;
  for (;;) {
    try {
      if (!await operate(client, ready)) $('locked').hidden = false;
      return;
    } catch {
      await new Promise((resolve) => { setTimeout(resolve, 1000); }); // the header says that there is no connection
    }
  }
}

/** This session is an operator's: at first, and whenever it is new. */
function ready(): void {
  $('console').hidden = false;
  // Where the server does not know the session any more, it has ended the subscription before it saw the key.
  if (feed && feed.state !== 'ended') return;
  feed = client.subscribe<Figures>('demo.console.figures', {
    onMessage: ({ data }) => overview.take(data),
    onState: ({ state, error }) => {
      if (state === 'live') void begin();
      else if (state === 'ended' && error && ++refused < 5) setTimeout(() => client.state === 'open' && ready(), 500);
    },
  });
}

async function begin(): Promise<void> {
  refused = 0;
  tabs.refresh();
  const past = await server.ask<{ sums: Sum[] }>('past').catch(() => undefined); // the charts begin now, then
  if (past) overview.past(past.sums);
}

function publishTo(topic: string): void {
  tabs.show('publish');
  $<HTMLInputElement>('publish-topic').value = topic;
  $('publish-data').focus();
}
