// Plays the parts of a clip one after the other, each from its exact start, and says what time is shown.

import { html, nothing } from "../packages/lit-html/lit-html.js";
import { keyed } from "../packages/lit-html/directives/keyed.js";
import { live } from "../packages/lit-html/directives/live.js";
import { evidenceTime, exactTime, number } from "./format.js";
import { sign } from "./icons.js";
import { waiting } from "./parts.js";
import { showsPreroll } from "./preroll.js";
import { changed } from "./store.js";
import { t } from "./words.js";

const RATES = [0.25, 0.5, 1, 2, 4];
const TYPES = { h264: 'video/mp4; codecs="avc1.640028"', h265: 'video/mp4; codecs="hvc1.1.6.L120.B0"' };
const FRAME_S = 1 / 25;
const INSIDE_S = 0.0004; // so far into the first picture that rounding does not show the one before

const nameOf = (codec) => (codec === "hevc" ? "h265" : codec);

/** Whether this browser says that it plays a codec: `yes`, `no` or `maybe`. */
export async function canPlay(codec) {
  const contentType = TYPES[nameOf(codec)];
  if (!contentType) return "maybe";
  if (document.createElement("video").canPlayType(contentType) === "") return "no";
  const video = { contentType, width: 1920, height: 1080, bitrate: 4_000_000, framerate: 25 };
  const found = await navigator.mediaCapabilities?.decodingInfo({ type: "file", video }).catch(() => null);
  return !found ? "maybe" : found.supported ? "yes" : "no";
}

export class Player {
  #video = null;
  #failed = null;
  #rate = 1;
  #goOn = false;
  #seconds = 0;
  /** Seconds from where the browser counts to the start of the part. */
  #early = 0;
  /** Whether it plays the whole file, whatever the edit list says; null until that is known. */
  #whole = null;

  constructor(parts) {
    this.parts = parts;
    this.index = 0;
    this.plays = "maybe";
    const codec = parts.find((part) => nameOf(part.codec) === "h265")?.codec ?? parts[0]?.codec;
    this.codec = nameOf(codec ?? "");
    void canPlay(this.codec).then((plays) => {
      this.plays = plays;
      changed();
    });
    void showsPreroll().then((whole) => {
      this.#whole = whole;
      changed();
    });
  }

  get #part() {
    return this.parts[this.index];
  }

  template() {
    if (!this.#part) return nothing;
    if (this.plays === "no" || this.#failed) return this.#cannot();
    if (this.#whole === null) return waiting();
    return html`<div class="player">${keyed(this.#part.url, html`<video controls playsinline muted preload="auto" src=${this.#part.url} aria-label=${t("player.label", { part: this.index + 1 })}
        @loadedmetadata=${this.#loaded} @seeking=${this.#measured} @timeupdate=${this.#moved} @seeked=${this.#moved} @ended=${this.#ended} @error=${this.#error}></video>`)}
      <p class="player-time figure"><output id="player-time" .value=${live(this.#shownTime(this.#seconds))}></output></p>
      <div class="player-tools"><div role="group" aria-label=${t("player.step")}><button type="button" class="button button-small" @click=${() => this.#step(-1)}>${t("player.frame.back")}</button><button type="button" class="button button-small" @click=${() => this.#step(1)}>${t("player.frame.on")}</button></div>
        <div role="group" class="rates" aria-label=${t("player.rate")}>${RATES.map((rate) => html`<button type="button" class="chip" aria-pressed=${String(rate === this.#rate)} @click=${() => this.#setRate(rate)}>${number(rate, 2)}×</button>`)}</div></div>
      ${this.#partList()}</div>`;
  }

  #partList() {
    if (this.parts.length < 2) return nothing;
    return html`<ol class="parts" aria-label=${t("player.parts")}>${this.parts.map((part, index) => html`<li><button type="button" class="chip" aria-pressed=${String(index === this.index)} @click=${() => this.#choose(index, false)}>${t("player.part", { part: index + 1, from: exactTime(part.from) })}</button></li>`)}</ol>`;
  }

  #cannot() {
    const why = this.codec === "h265" ? t("player.h265") : t("player.cannot", { why: this.#failed ?? "" });
    return html`<div class="note note-warning">${sign("warning")}<div><p><strong>${t("player.not-here")}</strong></p><p>${why}</p><p>${t("player.file")}</p>
      <p class="form-actions">${this.parts.map((part) => html`<a class="button button-main" href=${`${part.url}?download`} download>${t("clip.download", { name: part.name })}</a>`)}</p></div></div>`;
  }

  #choose(index, goOn) {
    this.index = index;
    this.#goOn = goOn;
    this.#seconds = 0;
    changed();
  }

  #loaded = (event) => {
    this.#video = event.target;
    this.#video.defaultPlaybackRate = this.#video.playbackRate = this.#rate;
    this.#measured(event);
    this.#tell();
    if (this.#goOn) void this.#video.play().catch((error) => console.info("player:", error.message));
    this.#goOn = false;
  };

  #moved = () => this.#tell();

  /** Nothing of before the start is shown, and nothing of it counts, where the browser would do both. */
  #measured = ({ target: video }) => {
    this.#early = this.#whole ? (this.#part.preroll_s ?? 0) : 0;
    if (video.currentTime < this.#early) video.currentTime = this.#early + INSIDE_S;
  };

  #ended = () => {
    if (this.index + 1 < this.parts.length) this.#choose(this.index + 1, true);
  };

  #error = (event) => {
    this.#failed = event.target.error?.message || t("player.unreadable");
    changed();
  };

  #setRate(rate) {
    this.#rate = rate;
    if (this.#video) this.#video.defaultPlaybackRate = this.#video.playbackRate = rate;
    changed();
  }

  #step(direction) {
    if (!this.#video) return;
    this.#video.pause();
    this.#video.currentTime = Math.max(this.#early, this.#video.currentTime + direction * FRAME_S);
  }

  /** Footage time of a place in the part. */
  #shownTime(seconds) {
    const start = Date.parse(this.#part.from ?? "");
    return Number.isNaN(start) ? "" : evidenceTime(start + Math.round(seconds * 1000));
  }

  #tell() {
    const output = document.getElementById("player-time");
    this.#seconds = Math.max(0, (this.#video?.currentTime ?? 0) - this.#early);
    if (output) output.value = this.#shownTime(this.#seconds);
  }
}
