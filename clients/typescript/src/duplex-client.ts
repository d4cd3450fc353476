/**
 * The client of the Duplex session protocol.
 *
 * @module
 */
export { Client } from './client.js';
export { DuplexError } from './errors.js';
export { web } from './platform.js';
export type { Platform, PageEvents, Socket, SocketEvents } from './platform.js';
export type { Subscription } from './subscription.js';
export type * from './types.js';
