// What people do on the chat page.

import { openPage } from './harness.js';

/** Comes into a room through the form. */
export async function join(page, name, room = 'lobby') {
  await page.fill('#entry-name', name);
  await page.fill('#entry-room', room);
  await page.click('#entry-submit');
  await inRoom(page);
}

/** Waits until the page is in its room. */
export const inRoom = (page, options) => page.locator('#chat[data-state="open"]').waitFor(options);

/** Opens the chat of a server and comes in. */
export async function enter(t, url, name, { room, ...options } = {}) {
  const page = await openPage(t, new URL('chat/', url).href, options);
  await join(page, name, room);
  return page;
}

export async function say(page, text) {
  await page.fill('#text', text);
  await page.press('#text', 'Enter');
}

/** The texts of the messages that the server has confirmed, in order. */
export const texts = (page) => page.locator('#log .bubble').allTextContents();

/** Waits until a message with exactly that text is there. */
export const sees = (page, text) => page.locator('#log .bubble').getByText(text, { exact: true }).waitFor();

/** Goes to another room. */
export async function goTo(page, room) {
  await page.fill('#room-name', room);
  await page.press('#room-name', 'Enter');
  await page.locator('#room-title').getByText(room.replaceAll(' ', '-'), { exact: true }).waitFor();
  await inRoom(page);
}
