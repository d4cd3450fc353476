// The examples for web frameworks and mini-programs, against the real server.

import assert from 'node:assert/strict';
import http from 'node:http';
import test from 'node:test';
import { createContext, runInContext } from 'node:vm';
import { bundle, device } from './bundle.js';
import { openPage, startServer, until } from './harness.js';
import { png } from './picture.js';

/** Serves one page with a script, as a site of somebody else does. */
async function site(t) {
  const scripts = {};
  const server = http.createServer(({ url }, response) => {
    const script = scripts[url.slice(1)];
    response.setHeader('Content-Type', script ? 'text/javascript' : 'text/html; charset=utf-8');
    response.end(script ?? `<!doctype html><title>A site</title><link rel="icon" href="data:,"><div id="app"></div><script type="module" src="${url}.js"></script>`);
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  t.after(() => server.close());
  return { origin: `http://127.0.0.1:${server.address().port}`, scripts };
}

const react = (server) => `
  import { createRoot } from 'react-dom/client';
  import { Client } from 'duplex-client';
  import { Chat } from './react/Chat.jsx';
  const client = new Client(${JSON.stringify(server)}, { info: { name: 'React' } });
  createRoot(document.getElementById('app')).render(<Chat client={client} room="frameworks" />);`;

const vue = (server) => `
  import { createApp } from 'vue';
  import { Client } from 'duplex-client';
  import Chat from './vue/Chat.vue';
  const client = new Client(${JSON.stringify(server)}, { info: { name: 'Vue' } });
  createApp(Chat, { client, room: 'frameworks' }).mount('#app');`;

test('a React and a Vue component chat, over a restart of the server, from a site of another origin', async (t) => {
  const { origin, scripts } = await site(t);
  const server = await startServer('127.0.0.1:0', ['--origins', origin]);
  const socket = `${server.url.replace('http', 'ws')}ws`;
  scripts['react.js'] = await bundle(react(socket));
  scripts['vue.js'] = await bundle(vue(socket));
  const windows = [await openPage(t, `${origin}/react`), await openPage(t, `${origin}/vue`)];
  const lines = (page) => page.locator('li').allTextContents();
  const live = async () => { for (const page of windows) await page.getByText('connected', { exact: true }).waitFor(); };
  const say = async (page, text) => {
    await page.getByLabel('Your message').fill(text);
    await page.getByLabel('Your message').press('Enter');
  };
  const both = (expected) => until(async () => {
    for (const page of windows) if (JSON.stringify(await lines(page)) !== JSON.stringify(expected)) return false;
    return true;
  }, `both show ${expected}`);
  await live();
  await say(windows[0], 'from <React>');
  await both(['React from <React>']);
  await say(windows[1], 'from Vue');
  await both(['React from <React>', 'Vue from Vue']);

  await server.kill();
  await windows[0].getByText('connecting…').waitFor();
  await say(windows[0], 'written while the server was away');
  await startServer(new URL(server.url).host, ['--origins', origin]);
  await live();
  await both(['React from <React>', 'Vue from Vue', 'React written while the server was away']);
});

/** What wx and uni have in common: files, pictures, and what the visitor is told. Files are read as their documents say. */
const filesOf = (files, told) => ({
  getFileSystemManager: () => ({
    readFile({ filePath, encoding, success, fail }) {
      const content = files[filePath];
      setTimeout(() => (content && encoding === 'base64' ? success({ data: content.toString('base64') }) : fail({ errMsg: `readFile:fail no such file ${filePath}` })));
    },
  }),
  arrayBufferToBase64: (buffer) => Buffer.from(buffer).toString('base64'),
  showToast: ({ title }) => told.push(title),
});

/** Runs a page where there is nothing but the language, timers and what a mini-program has. */
const run = (script, globals) => runInContext(script, createContext({ setTimeout, clearTimeout, console, ...globals }));

/** The page of the WeChat mini-program, opened. */
async function wechatPage(t, server, files, told) {
  const { api } = await device('wechat');
  let chosen = '';
  const wx = {
    ...api, ...filesOf(files, told),
    chooseMedia: ({ mediaType, success }) => { assert.equal(mediaType[0], 'image'); setTimeout(() => success({ tempFiles: [{ tempFilePath: chosen }] })); },
  };
  let page;
  run(await bundle("import './wechat/pages/chat/chat.js';", { target: 'es2019' }), {
    wx, Page: (options) => { page = { ...options, data: { ...options.data }, setData(values) { Object.assign(this.data, values); } }; },
  });
  page.refused = page.refused.bind(page);
  page.onLoad({ server, name: '小程序' });
  t.after(() => page.onUnload());
  return { page, state: () => page.data, choose(path) { chosen = path; page.choosePicture(); } };
}

/** The page of the uni-app, opened. */
async function uniPage(t, server, files, told) {
  const { api } = await device('uni');
  let chosen = '';
  const uni = { ...api, ...filesOf(files, told), chooseImage: ({ success }) => setTimeout(() => success({ tempFilePaths: [chosen] })) };
  const { onLoad, onUnload, data, methods } = run(`${await bundle("export { default } from './uni-app/chat.vue';", { target: 'es2019', globalName: 'page' })}; page.default`, { uni });
  const page = { ...data() };
  for (const [name, method] of Object.entries(methods)) page[name] = method.bind(page);
  onLoad.call(page, { server, name: 'uni-app' });
  t.after(() => onUnload.call(page));
  return { page, state: () => page, choose(path) { chosen = path; page.choosePicture(); } };
}

test('a WeChat mini-program and a uni-app send each other pictures, read as base64', async (t) => {
  const { url } = await startServer();
  const server = `${url.replace('http', 'ws')}ws`;
  const picture = png(100_000);
  const files = { 'wxfile://tmp/hills.png': picture, 'wxfile://tmp/page.html': Buffer.from('<script>alert(1)</script>') };
  const told = [];
  const [wechat, uni] = [await wechatPage(t, server, files, told), await uniPage(t, server, files, told)];
  await until(() => wechat.state().state === 'open' && uni.state().state === 'open', 'both are connected');

  wechat.choose('wxfile://tmp/hills.png');
  const seen = ({ state }, from) => state().messages.find(({ who, picture: shown }) => who === from && shown)?.picture;
  await until(() => seen(uni, '小程序') && seen(wechat, '小程序'), 'the picture is there');
  for (const one of [uni, wechat]) assert.equal(seen(one, '小程序'), `data:image/png;base64,${picture.toString('base64')}`);
  uni.choose('wxfile://tmp/hills.png');
  await until(() => seen(wechat, 'uni-app'), 'the other way');
  uni.page.text = '<b>收到</b>';
  uni.page.send();
  await until(() => wechat.state().messages.some(({ text }) => text === '<b>收到</b>'), 'a text');

  wechat.choose('wxfile://tmp/page.html');
  await until(() => told.length === 1, 'a file that is no picture is refused');
  assert.match(told[0], /only PNG, JPEG, GIF, WebP and AVIF/);
  uni.choose('wxfile://tmp/nothing.png');
  await until(() => told.length === 2, 'a file that is not there');
  assert.match(told[1], /no such file/);
});
