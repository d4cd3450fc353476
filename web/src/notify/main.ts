// Notifications: the inbox, or with ?desk the operator's desk.

import './style.css';
import { $ } from '../shared/dom.js';
import { start } from '../shared/shell.js';
import { Desk } from './desk.js';
import { Inbox } from './inbox.js';
import { texts } from './texts.js';

const { connect, say } = start(texts);
const isDesk = new URLSearchParams(location.search).has('desk');
$(isDesk ? 'desk' : 'inbox').hidden = false;
$(isDesk ? 'to-desk' : 'to-inbox').setAttribute('aria-current', 'page');
const other = $<HTMLAnchorElement>('other');
other.href = isDesk ? './' : '?desk';
say(other, isDesk ? 'notify.open-inbox' : 'notify.open-desk');

const client = connect();
if (isDesk) new Desk(client);
else new Inbox(client);
