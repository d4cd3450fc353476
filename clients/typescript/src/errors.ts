/**
 * The error of everything in this package. `code` is one of the protocol's codes (docs/protocol.md, "Errors"), a handler's own code
 * with a dot in it, or one that the client itself gives:
 *
 * | code | |
 * |---|---|
 * | `closed` | the client is closed, by `close()` or by a server that does not want it back |
 * | `disconnected` | the connection was lost while the command waited for its answer; it may or may not have been carried out |
 * | `offline` | there is no connection, and the command was not to wait for one |
 * | `timeout` | no answer in time |
 * | `unanswered` | a published message was sent and never confirmed, and can no longer be sent again without the risk of a double, or of coming too late |
 * | `outbox-full` | too many messages, or bytes, wait already; with `volatile`, any that go first |
 * | `too-large` | the frame is larger than the server allows; from the server it is about a part of the frame |
 * | `bad-request` | an argument cannot be sent; the text says which and why |
 * | `already-subscribed` | this client has a subscription with this topic or pattern |
 */
export class DuplexError extends Error {
  readonly code: string;
  /** The same may succeed after so many milliseconds. Absent: it will not, or nobody knows. */
  readonly retry: number | undefined;

  constructor(code: string, message: string, retry?: number) {
    super(message);
    this.name = 'DuplexError';
    this.code = code;
    this.retry = retry;
  }
}
