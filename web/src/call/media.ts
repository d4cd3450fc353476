// The visitor's own camera and microphone: both, one of them or none.

export type Kind = 'audio' | 'video';
export type Problem = 'denied' | 'missing' | 'insecure';

export class Media {
  readonly stream = new MediaStream();
  problem: Problem | undefined;

  /** Takes what there is. A call works with less, so it never rejects. */
  async open(): Promise<void> {
    if (await this.#take({ audio: true, video: { width: 640, height: 480 } })) return;
    const problem = this.problem;
    // One of them may be there without the other.
    if (!(await this.#take({ audio: true }))) await this.#take({ video: true });
    this.problem ??= problem;
  }

  track(kind: Kind): MediaStreamTrack | undefined {
    return this.stream.getTracks().find((track) => track.kind === kind && track.readyState === 'live');
  }

  /** Whether it is there and switched on. */
  sends(kind: Kind): boolean {
    return this.track(kind)?.enabled ?? false;
  }

  /** Switches on or off; resolves with a track that is new. */
  async toggle(kind: Kind): Promise<MediaStreamTrack | undefined> {
    const track = this.track(kind);
    if (track) {
      track.enabled = !track.enabled;
      return undefined;
    }
    return (await this.#take({ [kind]: true })) ? this.track(kind) : undefined;
  }

  close(): void {
    for (const track of this.stream.getTracks()) {
      track.stop();
      this.stream.removeTrack(track);
    }
  }

  async #take(wanted: MediaStreamConstraints): Promise<boolean> {
    this.problem = undefined;
    if (!navigator.mediaDevices) {
      this.problem = 'insecure';
      return false;
    }
    try {
      const taken = await navigator.mediaDevices.getUserMedia(wanted);
      for (const track of taken.getTracks()) {
        for (const old of this.stream.getTracks()) if (old.kind === track.kind) this.stream.removeTrack(old);
        this.stream.addTrack(track);
      }
      return true;
    } catch (error) {
      this.problem = (error as DOMException).name === 'NotAllowedError' ? 'denied' : 'missing';
      return false;
    }
  }
}
