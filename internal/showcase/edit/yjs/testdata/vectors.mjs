// Writes vectors.json: what the real Yjs makes of updates. Run it after a new version of Yjs:
//
//   (cd web && npm ci) && node internal/showcase/edit/yjs/testdata/vectors.mjs
//
// The documents are made up by a fixed sequence of numbers, so that the same version of Yjs writes the same file.

import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const Y = createRequire(new URL('../../../../../web/package.json', import.meta.url))('yjs');

let seed = 7;
const random = (n) => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((seed / 2 ** 32) * n);
};
const base64 = (bytes) => Buffer.from(bytes).toString('base64');

/** Some documents that people edit at the same time, with all the updates that this causes. */
function people(count, { gc = true } = {}) {
  const updates = [];
  const docs = Array.from({ length: count }, (_, i) => {
    const doc = new Y.Doc({ gc });
    doc.clientID = [1, 200, 70_000, 4_294_967_295][i];
    doc.on('update', (update, origin) => { if (origin !== 'remote') updates.push(update); });
    return doc;
  });
  return {
    docs, updates,
    /** Everybody gets everything. */
    meet() {
      for (const doc of docs) for (const update of updates) Y.applyUpdate(doc, update, 'remote');
    },
  };
}

const words = ['a', 'word ', '\n', 'größer ', '中文', '🎉', '👩‍👩‍👧 ', '# title\n', 'x'.repeat(200)];

/** Types, deletes and pastes as people do: never in the middle of a character. */
function scribble({ docs, meet }, steps) {
  for (let i = 0; i < steps; i++) {
    const doc = docs[random(docs.length)];
    const text = doc.getText('text');
    const string = text.toString();
    const between = (at) => (/[\udc00-\udfff]/.test(string[at] ?? '') ? at - 1 : at);
    const at = between(random(text.length + 1));
    const until = between(Math.min(text.length, at + 1 + random(12)));
    if (random(4) === 0 && until > at) text.delete(at, until - at);
    else text.insert(at, words[random(words.length)]);
    if (random(10) === 0) meet();
  }
  meet();
}

function typing() {
  const group = people(1);
  [...'Hello, this is typed letter by letter. 🎉'].forEach((letter, i) => {
    const text = group.docs[0].getText('text');
    text.insert(text.length, letter);
    if (i === 10) text.delete(4, 3);
  });
  return group;
}

function halves() {
  const group = people(2);
  const [a, b] = group.docs;
  a.getText('text').insert(0, '🎉🎉🎉');
  group.meet();
  b.getText('text').delete(1, 2); // the second half of one and the first half of another
  a.getText('text').insert(6, '!');
  group.meet();
  return group;
}

function everything() {
  const group = people(2);
  const [a, b] = group.docs;
  const map = a.getMap('map');
  map.set('number', 1.5);
  map.set('nested', { list: [1, -200, 2 ** 40, null, undefined, true, false, 'text', 10n, new Uint8Array([1, 2, 3])] });
  map.set('text', new Y.Text('inner'));
  map.set('number', 2);
  a.getArray('list').push([1, 'two', { three: 3 }, new Uint8Array([4]), new Y.Map(), new Y.Array()]);
  a.getArray('list').insert(1, ['in between']);
  const rich = a.getText('rich');
  rich.insert(0, 'bold and plain');
  rich.format(0, 4, { bold: true });
  rich.insertEmbed(4, { image: 'x.png' });
  const xml = a.getXmlFragment('xml');
  xml.insert(0, [new Y.XmlElement('p'), new Y.XmlText('words'), new Y.XmlHook('hook')]);
  xml.get(0).setAttribute('class', 'lead');
  map.set('document', new Y.Doc({ guid: 'below' }));
  group.meet();
  b.getArray('list').delete(0, 3);
  b.getMap('map').delete('text');
  b.getXmlFragment('xml').delete(0, 1);
  group.meet();
  return group;
}

function many(steps, count, options) {
  const group = people(count, options);
  scribble(group, steps);
  return group;
}

const scenarios = {
  nothing: people(1), typing: typing(), halves: halves(), everything: everything(),
  two: many(60, 2), four: many(150, 4), 'without collection': many(60, 3, { gc: false }),
};

const vectors = Object.entries(scenarios).map(([name, { docs, updates }]) => {
  const full = Y.encodeStateAsUpdate(docs[0]);
  const merged = Y.mergeUpdates(updates.length ? updates : [full]);
  const some = updates.filter((_, i) => i % 3 !== 1); // with holes
  // What somebody has who knows only the beginning, as a state vector.
  const early = new Y.Doc();
  updates.slice(0, updates.length / 2).forEach((update) => Y.applyUpdate(early, update));
  const vector = Y.encodeStateVector(early);
  return {
    name,
    updates: updates.map(base64),
    merged: base64(merged),
    vector: base64(Y.encodeStateVectorFromUpdate(merged)),
    document: base64(full), // as the document itself would be saved
    some: some.length ? base64(Y.mergeUpdates(some)) : null,
    someVector: some.length ? base64(Y.encodeStateVectorFromUpdate(Y.mergeUpdates(some))) : null,
    early: base64(vector),
    diff: base64(Y.diffUpdate(merged, vector)),
  };
});
writeFileSync(new URL('vectors.json', import.meta.url), `${JSON.stringify(vectors, null, 1)}\n`);
