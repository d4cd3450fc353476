// The customer service: the shop with the visitor's widget, or with ?desk the agents' desk.

import './style.css';
import { $ } from '../shared/dom.js';
import { start } from '../shared/shell.js';
import { Desk } from './desk.js';
import { texts } from './texts.js';
import { Visitor } from './visitor.js';

const { connect } = start(texts);
const isDesk = new URLSearchParams(location.search).has('desk');
$(isDesk ? 'desk' : 'shop').hidden = false;
$(isDesk ? 'to-desk' : 'to-shop').setAttribute('aria-current', 'page');

const client = connect();
if (isDesk) new Desk(client);
else new Visitor(client);
