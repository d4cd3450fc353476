export const texts = {
  en: {
    'home.lead': 'Full-duplex messaging, shown by what it is used for.',
    'home.more': 'Open a page in two windows, or on two devices. Each is a small program on the Duplex client, and each shows its own source.',
    'home.pages': 'The pages',
    'home.foot': 'Everything here comes from one binary: no database, no other host.',
    'home.client': 'The client for browsers',
    'home.source': 'The source of this page',
    'home.notices': 'Libraries in these pages',
  },
  zh: {
    'home.lead': '全双工通信，用实际用途来展示。',
    'home.more': '请在两个窗口或两台设备上打开同一页面。每个页面都是基于 Duplex 客户端的小程序，并能查看自己的源代码。',
    'home.pages': '页面',
    'home.foot': '这里的一切来自同一个可执行文件：无需数据库，不访问其他主机。',
    'home.client': '浏览器客户端',
    'home.source': '本页源代码',
    'home.notices': '页面所用的库',
  },
};
