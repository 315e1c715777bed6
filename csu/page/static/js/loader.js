// An answer of the service that a view shows: asked again when something changed, one request at a time.

import { changed } from "./store.js";

const AGAIN_MS = 1000;

export class Loader {
  #get;
  #running = false;
  #wanted = false;
  #closed = false;
  #last = 0;
  #timer = 0;
  #meanwhile = [];

  /** `get()` promises the value. */
  constructor(get) {
    this.#get = get;
    this.value = null;
    this.error = null;
    this.load();
  }

  /** Asks now, or a second after the last time; at once again when something changed meanwhile. */
  load() {
    if (this.#closed || this.#timer) return;
    if (this.#running) {
      this.#wanted = true;
      return;
    }
    const wait = this.#last + AGAIN_MS - Date.now();
    if (wait > 0) this.#timer = setTimeout(() => this.#run(), wait);
    else void this.#run();
  }

  /** Changes what is known by `change(value)`, and what is on its way too: that may have been written before. */
  apply(change) {
    if (this.value) this.value = change(this.value);
    if (this.#running) this.#meanwhile.push(change);
  }

  async #run() {
    this.#timer = 0;
    this.#running = true;
    this.#meanwhile = [];
    this.#last = Date.now();
    try {
      const value = await this.#get();
      this.value = this.#meanwhile.reduce((known, change) => change(known), value);
      this.error = null;
    } catch (error) {
      this.error = error;
      if (error.status === 404) this.value = null; // it is gone: what was known of it is true no more
    }
    this.#running = false;
    if (this.#closed) return;
    changed();
    if (this.#wanted) {
      this.#wanted = false;
      this.load();
    }
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}
