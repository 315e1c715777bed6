// The frame around the views: which one is shown, what the stream says, where the focus stays.

import { html, nothing, render } from "../packages/lit-html/lit-html.js";
import { get, whenSignedOut } from "./api.js";
import { announceTroubles } from "./announce.js";
import { tellAll } from "./elements.js";
import { useZone } from "./format.js";
import { fetchLater, later } from "./later.js";
import { failureNote } from "./parts.js";
import { shell } from "./shell.js";
import { Router } from "./router.js";
import { listen } from "./shortcuts.js";
import * as store from "./store.js";
import { speak, t } from "./words.js";
import { openFleet } from "./views/fleet.js";
import { openWaiting } from "./views/waiting.js";

const ROUTES = {
  "": "openFleet",
  "alarms": "openAlarms",
  "summary": "openSummary",
  "units/:unit": "openUnit",
  "units/:unit/request": "openRequest",
  "units/:unit/commands/:command": "openCommand",
  "units/:unit/clips/:clip": "openClip",
};
const MOST_ALARMS = 1000;

export class App {
  #root;
  #router = new Router(ROUTES);
  #view = null;
  #named = "";
  #later = null;
  #asked = null;
  #started = false;
  #alarmsMeanwhile = null;

  constructor(root) {
    this.#root = root;
  }

  start() {
    store.whenChanged(() => this.draw());
    whenSignedOut(() => this.connected("signed-out"));
    globalThis.addEventListener("hashchange", () => this.go());
    listen({
      f: () => this.address("#/"),
      a: () => this.address("#/alarms"),
      s: () => this.address("#/summary"),
      "/": () => this.search(),
      r: () => this.request(),
      u: () => this.up(),
      "?": () => this.#dialog("openHelp"),
    });
    this.#started = true;
    this.go(true);
    fetchLater();
  }

  address(hash) {
    location.hash = hash;
  }

  up() {
    document.querySelector("a.back")?.click();
  }

  request() {
    document.querySelector("[data-request]")?.click();
  }

  search() {
    if (!document.getElementById("search")) this.address("#/");
    requestAnimationFrame(() => requestAnimationFrame(() => document.getElementById("search")?.focus()));
  }

  /** Shows the view that the address names. */
  go(first = false) {
    const found = this.#router.find(location.hash) ?? { name: "openMissing", params: {}, query: new URLSearchParams() };
    this.#view?.close?.();
    this.#asked = found;
    if (found.name === "openFleet") this.#show(openFleet, found, first);
    else if (this.#later) this.#show(this.#later[found.name], found, first);
    else void this.#fetch(found, first);
  }

  async #fetch(found, first) {
    this.#view = openWaiting();
    this.draw();
    try {
      this.#later = await later();
    } catch (error) {
      if (this.#asked === found) this.#view = openWaiting(error, () => this.go(first));
      store.changed();
      return;
    }
    if (this.#asked === found) this.#show(this.#later[found.name], found, first);
  }

  #show(open, { params, query }, first) {
    this.#view = open(params, query);
    this.draw();
    if (first) return;
    globalThis.scrollTo(0, 0);
    document.querySelector("main h1")?.focus({ preventScroll: true });
  }

  async #dialog(name) {
    this.#later ??= await later();
    await this.#later[name]();
  }

  async chooseLanguage(language) {
    await speak(language);
    this.go(true);
    tellAll();
  }

  /** One event of the stream. */
  hear(event, body) {
    if (event === "hello") {
      store.takeFleet(body);
      void this.countAlarms();
    } else if (event === "alarm") this.#hearAlarm(body);
    else if (event === "unit") {
      announceTroubles(store.state.units.get(body.unit_id), body);
      store.takeUnit(body);
    } else if (event === "unit-removed") store.dropUnit(body.unit_id);
    else if (event === "service") store.takeService(body);
    try {
      this.#view?.hear?.(event, body);
    } catch (error) {
      console.warn("view:", error.message); // one event that a view cannot read ends no stream
    }
    this.nameWindow();
  }

  /** Alarms that nobody acknowledges are many in time: then those that are open are counted anew. */
  #hearAlarm(alarm) {
    store.takeAlarm(alarm);
    this.#alarmsMeanwhile?.push(alarm);
    if (store.state.alarms?.size > MOST_ALARMS * 2 && !this.#alarmsMeanwhile) void this.countAlarms();
  }

  async countAlarms() {
    const meanwhile = (this.#alarmsMeanwhile = []);
    const open = await get("/v1/alarms", { open: true, limit: MOST_ALARMS }).catch(() => null);
    if (open) store.takeAlarms(open.items);
    meanwhile.forEach(store.takeAlarm); // the answer may have been written before them
    if (this.#alarmsMeanwhile === meanwhile) this.#alarmsMeanwhile = null;
  }

  connected(connection) {
    if (connection === "live" && store.state.connection === "lost") void this.refreshPage();
    store.setConnection(connection);
  }

  /** What the service says of itself may have changed while it was away. */
  async refreshPage() {
    const page = await get("/v1/page").catch(() => null);
    if (!page) return;
    store.state.page = page;
    useZone(page.zone);
    store.changed();
  }

  nameWindow() {
    if (!this.#started) return;
    const count = store.waitingAlarms();
    const name = `${count ? `(${count}) ` : ""}${this.#view?.title?.() ?? ""} · ${t("app.name")}`;
    if (name !== this.#named) document.title = this.#named = name;
  }

  #render(view) {
    const route = this.#view?.name ?? "";
    render(shell({ app: this, route, view: html`${view}`, dialog: (name) => this.#dialog(name) }), this.#root);
  }

  draw() {
    if (!this.#started) return;
    const focused = document.activeElement;
    try {
      this.#render(this.#view?.template() ?? nothing);
      this.#view?.drawn?.();
    } catch (error) { // a view that cannot be drawn must not stand there as it was, as if it were true
      console.warn("draw:", error.message);
      this.#render(failureNote({ code: "view", message: error.message }));
    }
    this.nameWindow();
    // A row that moved took the focus with it into nowhere.
    if (focused !== document.activeElement && focused?.isConnected && focused !== document.body) {
      focused.focus({ preventScroll: true });
    }
  }
}
