// Server-sent events (WHATWG HTML, 9.2) read by fetch: EventSource hides the comments that say that the line is alive,
// and a line that is half open would look like a quiet night.

const SILENCE_MS = 35_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
const LOOK_MS = 1000;
const STEP_MS = 5000;

/** Cuts a stream's text into events; hands each on as `(event, data)`. */
export class EventParser {
  #rest = "";
  #event = "";
  #data = [];

  constructor(onEvent) {
    this.onEvent = onEvent;
  }

  take(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line);
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (name === "event") this.#event = value;
    if (name === "data") this.#data.push(value);
    return undefined;
  }

  #dispatch() {
    if (this.#data.length) this.onEvent(this.#event || "message", this.#data.join("\n"));
    this.#event = "";
    this.#data = [];
  }
}

/** Keeps a stream open for ever; tells its events, and `live`, `lost` or `signed-out`. */
export class Stream {
  #wait = FIRST_WAIT_MS;
  #watchdog = 0;
  #retry = 0;
  #abort = null;
  #heardAt = 0;
  #ahead = 0;

  constructor(path, { onEvent, onState }) {
    this.path = path;
    this.onEvent = onEvent;
    this.onState = onState;
  }

  start() {
    globalThis.addEventListener("online", () => this.#again());
    document.addEventListener("visibilitychange", () => this.#awake());
    setInterval(() => this.#look(), LOOK_MS);
    void this.#run();
  }

  #awake() {
    if (document.visibilityState !== "visible") return;
    if (!this.#look()) this.#again();
  }

  /** Begins anew after a sleep of the machine, in which timers slept too, or a step of its clock, by which ages are told. */
  #look() {
    const ahead = Date.now() - performance.now();
    const isOld = this.#heardAt && (Date.now() - this.#heardAt > SILENCE_MS || Math.abs(ahead - this.#ahead) > STEP_MS);
    if (isOld) this.#abort?.abort();
    return isOld;
  }

  #again() {
    if (!this.#retry) return;
    clearTimeout(this.#retry);
    this.#retry = 0;
    void this.#run();
  }

  async #run() {
    this.#retry = 0;
    this.#abort = new AbortController();
    let state = "lost";
    try {
      state = await this.#read(this.#abort.signal);
    } catch (error) {
      console.info("stream:", error.message);
    }
    clearTimeout(this.#watchdog);
    this.onState(state);
    this.#wait = Math.min(LONGEST_WAIT_MS, this.#wait * 2);
    this.#retry = setTimeout(() => this.#run(), this.#wait * (0.5 + Math.random() / 2));
  }

  async #read(signal) {
    this.#alive();
    const answer = await fetch(this.path, { signal, cache: "no-store", headers: { Accept: "text/event-stream" } });
    if (answer.status === 401) return "signed-out";
    if (!answer.ok || !answer.body) throw new Error(`HTTP ${answer.status}`);
    const parser = new EventParser((event, data) => this.#handle(event, data));
    const decoder = new TextDecoder();
    const reader = answer.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return "lost";
      this.#alive();
      parser.take(decoder.decode(value, { stream: true }));
    }
  }

  #handle(event, data) {
    let body;
    try {
      body = JSON.parse(data);
    } catch (error) {
      console.warn("stream: not JSON:", error.message);
      return;
    }
    if (event === "hello") {
      this.#wait = FIRST_WAIT_MS;
      this.onState("live");
    }
    this.onEvent(event, body);
  }

  #alive() {
    this.#heardAt = Date.now();
    this.#ahead = this.#heardAt - performance.now();
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#abort?.abort(), SILENCE_MS);
  }
}
