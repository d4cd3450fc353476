/**
 * uni-app, on every platform that it compiles for.
 *
 * @module
 */
import { miniProgram, type MiniProgram } from './mini.js';
import type { Platform } from './platform.js';

export type { MiniProgram, SocketTask } from './mini.js';
export type { Platform } from './platform.js';

declare const uni: MiniProgram;

/**
 * The platform of a uni-app, for the option `platform` of a client. Its connections are SocketTasks; the global socket stays free.
 * Needs HBuilderX 2.2.6 or later, which sends ArrayBuffers, and 3.7.12 or later for close codes in apps.
 */
export const uniApp = (api: MiniProgram = uni): Platform => miniProgram(api);
