// <time-ago at="RFC 3339">: how long ago, kept right by one timer for all of them.

import { ago, clockTime, zonedTime } from "./format.js";
import { now } from "./store.js";

const shown = new Set();

class TimeAgo extends HTMLElement {
  static observedAttributes = ["at"];

  connectedCallback() {
    shown.add(this);
    this.tell();
  }

  disconnectedCallback() {
    shown.delete(this);
  }

  attributeChangedCallback() {
    if (this.isConnected) this.tell();
    const at = Date.parse(this.getAttribute("at"));
    this.title = Number.isNaN(at) ? "" : zonedTime(at);
  }

  /** Writes only what changed. */
  tell() {
    const at = Date.parse(this.getAttribute("at"));
    const text = Number.isNaN(at) ? "–" : ago((now() - at) / 1000);
    if (this.textContent !== text) this.textContent = text;
  }
}

/** The time of the centre's zone. */
class CentreClock extends HTMLElement {
  connectedCallback() {
    shown.add(this);
    this.tell();
  }

  disconnectedCallback() {
    shown.delete(this);
  }

  tell() {
    const text = clockTime(now());
    if (this.textContent !== text) this.textContent = text;
  }
}

/** All of them, now: after a change of language or of the server's time. */
export function tellAll() {
  for (const element of shown) element.tell();
}

export function defineElements() {
  customElements.define("time-ago", TimeAgo);
  customElements.define("centre-clock", CentreClock);
  setInterval(tellAll, 1000);
}
