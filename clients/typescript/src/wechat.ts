/**
 * WeChat mini-programs and mini-games.
 *
 * @module
 */
import { miniProgram, type MiniProgram } from './mini.js';
import type { Platform } from './platform.js';

export type { MiniProgram, SocketTask } from './mini.js';
export type { Platform } from './platform.js';

declare const wx: MiniProgram;

/**
 * The platform of a WeChat mini-program, for the option `platform` of a client. Needs base library 1.7.0 or later, and the server's
 * address, which must be `wss:`, among the "socket" domains of the mini-program. All clients together have at most 5 connections.
 */
export const wechat = (api: MiniProgram = wx): Platform => miniProgram(api);
