// A page of a WeChat mini-program: a chat room with pictures. A picture is read as base64 with the file system manager, as WeChat's
// documents show; the server decodes it and passes it on as bytes, which come back here as an ArrayBuffer.
//
// duplex-client comes from npm ("Tools › Build npm" in the developer tools); the server's address has to be among the "socket" domains.

import { Client } from 'duplex-client';
import { wechat } from 'duplex-client/wechat';

const room = 'chat.lobby';

Page({
  data: { state: 'connecting', messages: [], text: '' },

  onLoad({ server = 'wss://example.com/ws', name = '小程序' }) {
    this.client = new Client(server, { platform: wechat(), info: { name } });
    this.client.on('state', ({ state }) => this.setData({ state }));
    this.client.subscribe(room, { last: 20, onMessage: (message) => this.show(message) });
  },

  onUnload() {
    this.client.close();
  },

  show({ offset, from, data, meta }) {
    const who = from?.info?.name ?? from?.user;
    const message = data instanceof Uint8Array
      ? { offset, who, picture: `data:${meta.mime};base64,${wx.arrayBufferToBase64(data.slice().buffer)}` }
      : { offset, who, text: data.text };
    this.setData({ messages: [...this.data.messages.slice(-49), message] });
  },

  input({ detail }) {
    this.setData({ text: detail.value });
  },

  send() {
    const { text } = this.data;
    this.setData({ text: '' });
    this.client.publish(room, { text }).catch(this.refused);
  },

  choosePicture() {
    wx.chooseMedia({
      count: 1,
      mediaType: ['image'],
      sizeType: ['compressed'],
      success: ({ tempFiles: [{ tempFilePath: filePath }] }) => {
        wx.getFileSystemManager().readFile({
          filePath,
          encoding: 'base64',
          success: ({ data }) => this.client.publish(room, { picture: data, name: filePath.split('/').pop() }).catch(this.refused),
          fail: this.refused,
        });
      },
    });
  },

  refused(error) {
    wx.showToast({ title: error.message ?? error.errMsg, icon: 'none' });
  },
});
