// What the page says, in English and Chinese. Elements name their text with data-i18n (and data-i18n-label, -placeholder);
// arguments stand in data-i18n-args, so that a switch of the language reaches everything that is already on the page.

export const texts = {
  en: {
    'lang.other': '中文',
    'lang.switch': '切换到中文',
    'entry.title': 'Come in',
    'entry.lead': 'Choose a name and a room. Everything you say goes to the people in that room.',
    'entry.name': 'Your name',
    'entry.room': 'Room',
    'entry.join': 'Join',
    'entry.joining': 'Joining…',
    'rooms.title': 'Rooms',
    'rooms.offered': 'Rooms to choose from',
    'rooms.other': 'Another room',
    'rooms.go': 'Go to that room',
    'people.title': 'Here now',
    'people.you': 'you',
    'people.count': ({ n }) => (n === 1 ? '1 person here' : `${n} people here`),
    'side.label': 'Rooms and people',
    'side.open': 'Show rooms and people',
    'side.close': 'Close',
    'side.leave': 'Leave',
    'share.label': 'Copy a link to this room',
    'share.copied': 'The link to this room has been copied.',
    'share.manual': 'Link to this room:',
    'log.label': 'Messages',
    'log.pending': 'Messages that are not sent yet',
    'log.empty': 'Nothing has been said here yet. Say hello!',
    'log.joined': ({ name }) => `${name} has joined`,
    'log.left': ({ name }) => `${name} has left`,
    'log.gap': 'Reconnected. Messages from in between may be missing here.',
    'log.slow': 'Messages are missing here: they came faster than this connection takes them.',
    'log.newer': ({ n }) => (n === 1 ? '1 new message' : `${n} new messages`),
    'text.label': 'Your message',
    'text.placeholder': 'Write a message',
    'text.send': 'Send',
    'emoji.label': 'Emoji',
    'picture.choose': 'Choose pictures',
    'picture.previews': 'Pictures to send',
    'picture.remove': ({ name }) => `Do not send ${name}`,
    'picture.drop': 'Drop pictures here',
    'picture.alt': ({ from, name }) => (name ? `Picture from ${from}: ${name}` : `Picture from ${from}`),
    'picture.enlarge': ({ from }) => `Enlarge the picture from ${from}`,
    'picture.broken': 'This picture cannot be shown.',
    'viewer.label': 'Picture',
    'viewer.save': 'Save',
    'viewer.close': 'Close',
    'status.queued': 'Waiting for the connection',
    'status.next': 'Next in line',
    'status.sending': 'Sending…',
    'status.arriving': 'On its way to the server…',
    'status.paused': 'In a moment: that was a lot at once',
    'status.failed': 'Not sent',
    'status.discard': 'Discard',
    'status.progress': ({ percent }) => `Sending, ${percent} %`,
    'state.connecting': 'Connecting…',
    'state.open': 'Connected',
    'state.waiting': 'Disconnected',
    'state.refused': 'Not admitted',
    'state.ended': 'Disconnected',
    'banner.connecting': 'Connecting…',
    'banner.waiting': ({ reason }) => `Connection lost: ${reason}.`,
    'banner.countdown': ({ seconds }) => `Next attempt in ${seconds} s. What you write is kept and sent then.`,
    'banner.retry': 'Try now',
    'banner.ended': 'This conversation goes on in another tab or window.',
    'banner.here': 'Continue here',
    'reason.offline': 'this device is offline',
    'reason.unreachable': 'the server cannot be reached',
    'reason.restart': 'the server is restarting',
    'reason.lost': 'it broke off',
    'reason.silent': 'the server has stopped answering',
    'reason.slow': 'this connection is too slow for the room',
    'reason.busy': 'the server is busy',
    'reason.closed': ({ code }) => `closed by the server (${code})`,
    'error.name-taken': ({ name, room }) => `Somebody called “${name}” is in “${room}” already. Choose another name.`,
    'error.name-malformed': 'A name has 1 to 24 letters, digits, spaces or - _ . \' and begins with a letter or a digit.',
    'error.room-malformed': 'A room has 1 to 32 letters, digits, - or _.',
    'error.room-full': 'This room is full.',
    'error.flood': 'The server has closed the connection because too much was sent.',
    'error.queue-full': 'Too much is waiting to be sent. Your message stays in the box.',
    'error.text-too-long': ({ limit }) => `A message has at most ${limit} characters.`,
    'error.picture-too-large': ({ name, limit }) => `${name} is too large: at most ${limit} MB.`,
    'error.not-a-picture': ({ name }) => `${name || 'This file'} is not a PNG, JPEG, GIF, WebP or AVIF picture.`,
    'error.too-many-pictures': 'That is too many pictures at once.',
    'error.other': ({ message }) => `The server did not take this: ${message}`,
    'notification.title': ({ n, room }) => `(${n}) ${room} · Duplex`,
    'day.today': 'Today',
    'day.yesterday': 'Yesterday',
  },
  zh: {
    'lang.other': 'English',
    'lang.switch': 'Switch to English',
    'entry.title': '进入聊天室',
    'entry.lead': '起个名字，选个房间。你说的话，房间里的人都能看到。',
    'entry.name': '你的名字',
    'entry.room': '房间',
    'entry.join': '进入',
    'entry.joining': '正在进入…',
    'rooms.title': '房间',
    'rooms.offered': '可选的房间',
    'rooms.other': '其他房间',
    'rooms.go': '前往该房间',
    'people.title': '在线',
    'people.you': '你',
    'people.count': ({ n }) => `${n} 人在线`,
    'side.label': '房间与成员',
    'side.open': '显示房间与成员',
    'side.close': '关闭',
    'side.leave': '离开',
    'share.label': '复制房间链接',
    'share.copied': '房间链接已复制。',
    'share.manual': '房间链接：',
    'log.label': '消息',
    'log.pending': '尚未发出的消息',
    'log.empty': '这里还没有消息，打个招呼吧！',
    'log.joined': ({ name }) => `${name} 进入了房间`,
    'log.left': ({ name }) => `${name} 离开了房间`,
    'log.gap': '已重新连接，断开期间的消息可能不全。',
    'log.slow': '消息来得太快，网速跟不上，此处缺少一些消息。',
    'log.newer': ({ n }) => `${n} 条新消息`,
    'text.label': '你的消息',
    'text.placeholder': '输入消息',
    'text.send': '发送',
    'emoji.label': '表情',
    'picture.choose': '选择图片',
    'picture.previews': '待发送的图片',
    'picture.remove': ({ name }) => `不发送 ${name}`,
    'picture.drop': '把图片拖到这里',
    'picture.alt': ({ from, name }) => (name ? `${from} 的图片：${name}` : `${from} 的图片`),
    'picture.enlarge': ({ from }) => `放大 ${from} 的图片`,
    'picture.broken': '无法显示这张图片。',
    'viewer.label': '图片',
    'viewer.save': '保存',
    'viewer.close': '关闭',
    'status.queued': '等待连接',
    'status.next': '排队中',
    'status.sending': '发送中…',
    'status.arriving': '正在送达服务器…',
    'status.paused': '发送太快，稍后自动发出',
    'status.failed': '未发送',
    'status.discard': '放弃',
    'status.progress': ({ percent }) => `发送中 ${percent}%`,
    'state.connecting': '连接中…',
    'state.open': '已连接',
    'state.waiting': '已断开',
    'state.refused': '未能进入',
    'state.ended': '已断开',
    'banner.connecting': '连接中…',
    'banner.waiting': ({ reason }) => `连接已断开：${reason}。`,
    'banner.countdown': ({ seconds }) => `${seconds} 秒后重试。你写的内容会保留，连上后自动发送。`,
    'banner.retry': '立即重试',
    'banner.ended': '此聊天已在另一个标签页或窗口中继续。',
    'banner.here': '在这里继续',
    'reason.offline': '本设备处于离线状态',
    'reason.unreachable': '无法连接服务器',
    'reason.restart': '服务器正在重启',
    'reason.lost': '连接中断',
    'reason.silent': '服务器没有响应',
    'reason.slow': '网速跟不上这个房间',
    'reason.busy': '服务器繁忙',
    'reason.closed': ({ code }) => `服务器关闭了连接（${code}）`,
    'error.name-taken': ({ name, room }) => `“${room}”里已经有人叫“${name}”了，请换个名字。`,
    'error.name-malformed': '名字为 1 到 24 个字，可用文字、数字、空格和 - _ . \'，并以文字或数字开头。',
    'error.room-malformed': '房间名为 1 到 32 个字，可用文字、数字、- 和 _。',
    'error.room-full': '房间已满。',
    'error.flood': '发送过多，服务器已关闭连接。',
    'error.queue-full': '等待发送的内容太多，你的消息仍保留在输入框中。',
    'error.text-too-long': ({ limit }) => `每条消息最多 ${limit} 个字符。`,
    'error.picture-too-large': ({ name, limit }) => `${name} 太大，最多 ${limit} MB。`,
    'error.not-a-picture': ({ name }) => `${name || '此文件'} 不是 PNG、JPEG、GIF、WebP 或 AVIF 图片。`,
    'error.too-many-pictures': '一次选择的图片太多。',
    'error.other': ({ message }) => `服务器未接受：${message}`,
    'notification.title': ({ n, room }) => `(${n}) ${room} · Duplex`,
    'day.today': '今天',
    'day.yesterday': '昨天',
  },
};

const storageKey = 'duplex.language';
const listeners = new Set();
let language = initial();

function initial() {
  const wanted = [read(), ...(navigator.languages ?? [navigator.language])];
  for (const tag of wanted) {
    const base = tag?.toLowerCase().split('-')[0];
    if (base in texts) return base;
  }
  return 'en';
}

function read() {
  try {
    return localStorage.getItem(storageKey);
  } catch {
    return null; // storage is switched off
  }
}

/** The tag for Intl and the lang attribute. */
export const locale = () => (language === 'zh' ? 'zh-CN' : 'en');

/** The text of a key in the current language. */
export function t(key, args = {}) {
  const text = texts[language][key] ?? key;
  return typeof text === 'function' ? text(args) : text;
}

export const has = (key) => key in texts.en;

/** Gives an element a text that follows the language. */
export function say(element, key, args) {
  element.dataset.i18n = key;
  if (args) element.dataset.i18nArgs = JSON.stringify(args);
  else delete element.dataset.i18nArgs;
  element.textContent = t(key, args);
}

/** Gives an element a label that follows the language. */
export function label(element, key, args) {
  element.dataset.i18nLabel = key;
  if (args) element.dataset.i18nLabelArgs = JSON.stringify(args);
  element.setAttribute('aria-label', t(key, args));
}

/** Fills in everything on the page that names its text. */
export function translate(root = document) {
  const args = (json) => (json ? JSON.parse(json) : undefined);
  document.documentElement.lang = locale();
  for (const e of root.querySelectorAll('[data-i18n]')) e.textContent = t(e.dataset.i18n, args(e.dataset.i18nArgs));
  for (const e of root.querySelectorAll('[data-i18n-placeholder]')) e.placeholder = t(e.dataset.i18nPlaceholder);
  for (const e of root.querySelectorAll('[data-i18n-label]')) {
    const text = t(e.dataset.i18nLabel, args(e.dataset.i18nLabelArgs));
    e.setAttribute('aria-label', text);
    if (e.matches('button')) e.title = text;
  }
}

export function onLanguage(listener) {
  listeners.add(listener);
}

export function switchLanguage() {
  language = language === 'en' ? 'zh' : 'en';
  try {
    localStorage.setItem(storageKey, language);
  } catch {
    // not remembered, then
  }
  translate();
  for (const listener of listeners) listener();
}
