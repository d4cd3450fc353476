// The opening handshake: its bytes as text, and the accept value computed once more.

import { $, make } from '../shared/dom.js';
import { say } from '../shared/i18n.js';
import { fromBase64, hexes, roughly, toBase64 } from './bytes.js';
import type { Report } from './frame.js';
import { sha1 } from './sha1.js';

/** What every server appends to the key (RFC 6455, section 1.3), so that nobody answers who does not know WebSocket. */
const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** Fields that are pointed out, and the mark that they get. */
const marks: Record<string, string> = {
  'sec-websocket-key': 'key', 'sec-websocket-accept': 'accept', upgrade: 'upgrade', connection: 'upgrade',
  'sec-websocket-extensions': 'extensions', 'sec-websocket-version': 'version', origin: 'origin',
};

export function showHandshake(report: Report): void {
  const request = roughly(fromBase64(report.request));
  const response = roughly(fromBase64(report.response));
  $('request').replaceChildren(...head(request));
  $('response').replaceChildren(...head(response));
  say($('request-size'), 'how.bytes', { bytes: request.length });
  say($('response-size'), 'how.bytes', { bytes: response.length });
  $('inexact').hidden = report.exact ?? false;
  $('starred').hidden = !/^(cookie|(proxy-)?authorization)\s*:\s*\*/im.test(request);
  compute(field(request, 'sec-websocket-key'), field(response, 'sec-websocket-accept'));
}

/** The lines of a head, each with the line end that it had. */
function head(text: string): Node[] {
  return text.split(/(?<=\r\n)/).map((line) => {
    const [, name = ''] = /^([^:\s]+):/.exec(line) ?? [];
    const mark = marks[name.toLowerCase()];
    const shown = make('span', mark ? `line mark-${mark}` : 'line', line.replace(/\r\n$/, ''));
    const end = make('span', 'crlf', '\\r\\n');
    end.setAttribute('aria-hidden', 'true');
    return make('div', '', shown, end);
  });
}

function field(head: string, name: string): string {
  for (const line of head.split('\r\n')) {
    const colon = line.indexOf(':');
    if (line.slice(0, colon).toLowerCase() === name) return line.slice(colon + 1).trim();
  }
  return '';
}

function compute(key: string, answered: string): void {
  const joined = new TextEncoder().encode(key + guid);
  const digest = sha1(joined);
  const accept = toBase64(digest);
  $('step-key').textContent = key;
  $('step-joined').replaceChildren(make('span', 'mark-key', key), make('span', 'guid', guid));
  $('step-sha1').textContent = hexes(digest);
  $('step-accept').textContent = accept;
  const verdict = $('verdict');
  verdict.dataset.same = String(accept === answered);
  say(verdict, accept === answered ? 'accept.same' : 'accept.differs', { answered });
}
