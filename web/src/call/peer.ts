// The connection between two browsers, by "perfect negotiation" as the WebRTC specification describes it: both sides do the same, either may
// offer something at any time, and when both do so at once the polite one takes its offer back. Only the first offer is always the other
// one's, because everything is new then, and browsers are at their best if nothing has to be taken back.

import type { Signal } from './room.js';

/**
 * Where the two browsers find out how they reach each other. None: that works within one network. Across networks name a STUN server,
 * and a TURN server for those who cannot be reached at all, such as { urls: 'turn:turn.example.com', username, credential }.
 */
const iceServers: RTCIceServer[] = [];

interface Handlers {
  send(kind: 'description' | 'candidate', more: Partial<Signal>): void;
  /** Sound or picture of the other side. */
  media(stream: MediaStream): void;
  state(state: RTCPeerConnectionState): void;
}

export class Peer {
  readonly #connection = new RTCPeerConnection({ iceServers });
  // It carries nothing. With it there is a connection also when neither side has a camera, and its end tells that the other page is gone.
  readonly #pulse = this.#connection.createDataChannel('pulse', { negotiated: true, id: 0 });
  #offering = false;
  #ignoring = false; // the last offer, because ours stands
  #met = false; // the other side has offered or answered something
  #answering = false; // an answer is being taken in, so that the state is about to be stable

  constructor(readonly polite: boolean, local: MediaStream, readonly handlers: Handlers) {
    const connection = this.#connection;
    connection.onnegotiationneeded = () => this.#offer();
    connection.onicecandidate = ({ candidate }) => candidate && handlers.send('candidate', { candidate: candidate.toJSON() });
    connection.ontrack = ({ streams, track }) => handlers.media(streams[0] ?? new MediaStream([track]));
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === 'failed') this.nudge();
      handlers.state(connection.connectionState);
    };
    this.#pulse.onclose = () => connection.connectionState === 'closed' || handlers.state('disconnected');
    for (const track of local.getTracks()) connection.addTrack(track, local);
  }

  get state(): RTCPeerConnectionState {
    return this.#connection.connectionState;
  }

  add(track: MediaStreamTrack, local: MediaStream): void {
    this.#connection.addTrack(track, local);
  }

  /** Looks for a way to the other side if there is none: what was said may have been lost, or the network has changed. */
  nudge(): void {
    const { connectionState, signalingState, localDescription } = this.#connection;
    if (this.polite || connectionState === 'connected') return; // one of the two does it
    if (signalingState === 'have-local-offer' && localDescription) this.#describe(localDescription);
    else this.#connection.restartIce();
  }

  async take({ description, candidate }: Signal): Promise<void> {
    const connection = this.#connection;
    try {
      if (description) {
        const ready = !this.#offering && (connection.signalingState === 'stable' || this.#answering);
        this.#ignoring = description.type === 'offer' && !ready && !this.polite;
        if (this.#ignoring) return;
        this.#answering = description.type === 'answer';
        await connection.setRemoteDescription(description); // takes our own offer back if there is one
        this.#met = true;
        this.#answering = false;
        if (description.type === 'offer') {
          await connection.setLocalDescription();
          this.#describe(connection.localDescription!);
        }
      } else if (candidate) {
        await connection.addIceCandidate(candidate);
      }
    } catch (error) {
      this.#answering = false;
      // An answer to an offer that has been taken back, or an address that belongs to an offer which was ignored.
      if (!this.#ignoring && connection.signalingState !== 'closed') console.debug('a signal that came too late', error);
    }
  }

  close(): void {
    this.#pulse.onclose = null;
    this.#connection.onconnectionstatechange = null;
    this.#connection.close();
  }

  async #offer(): Promise<void> {
    if (this.polite && !this.#met) return; // the browser asks again after the first answer, if anything is left to be offered
    try {
      this.#offering = true;
      await this.#connection.setLocalDescription();
      this.#describe(this.#connection.localDescription!);
    } catch (error) {
      if (this.#connection.signalingState !== 'closed') console.debug('an offer that is not needed any more', error);
    } finally {
      this.#offering = false;
    }
  }

  #describe({ type, sdp }: RTCSessionDescription): void {
    if (type === 'offer' || type === 'answer') this.handlers.send('description', { description: { type, sdp } });
  }
}
