// The live connection: an EventSource on journal/stream that comes back by itself, and says how it is.

import { ApiError, address, get, token } from "./api.js";

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 10000;
const FINAL = new Set([401, 403, 404]);  // trying again would not help

export class Live {
  /** `heard`: functions `state(name)`, `open()`, `entry(summary)`, `skipped(n)`, `scenarios()`, `levers()`, `reset()`, `refused(error)`. */
  constructor(heard) {
    this.heard = heard;
    this.session = "";
    this.source = null;
    this.wait = FIRST_WAIT;
    this.timer = null;
  }

  /** Listen to one session, or to all of them (""). */
  connect(session) {
    this.session = session;
    this.close();
    this.heard.state(this.wait === FIRST_WAIT ? "connecting" : "reconnecting");
    const source = new EventSource(address("journal/stream", { session, token: token() }));
    this.source = source;
    source.onopen = () => this.opened();
    source.onerror = () => this.failed(source);
    for (const name of ["entry", "skipped", "scenarios", "levers", "reset"]) {
      source.addEventListener(name, (event) => this.take(name, event.data));
    }
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
  }

  opened() {
    this.wait = FIRST_WAIT;
    this.heard.state("live");
    this.heard.open();
  }

  take(name, data) {
    const payload = JSON.parse(data || "{}");
    if (name === "entry") this.heard.entry(payload);
    else if (name === "skipped") this.heard.skipped(payload.skipped);
    else this.heard[name]();
  }

  /** The browser tries again by itself after a lost connection, but not after a refusal: that is for us. */
  failed(source) {
    this.heard.state("reconnecting");
    if (source.readyState !== EventSource.CLOSED) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.again(), this.wait);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
  }

  /** An EventSource does not say why it was refused; a call does, and asks for a token if that is what is missing. */
  async again() {
    const session = this.session;
    try {
      await get("journal", { session, limit: 1 });
    } catch (error) {
      if (error instanceof ApiError && FINAL.has(error.status)) return this.heard.refused(error);
    }
    if (session === this.session) this.connect(session);
  }
}
