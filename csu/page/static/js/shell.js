// What stands around every view: where one is, where one can go, whether what is shown is current.

import { html, nothing } from "../packages/lit-html/lit-html.js";
import { dateTime, currentZone } from "./format.js";
import { icon, sign } from "./icons.js";
import { keep } from "./settings.js";
import { state, waitingAlarms } from "./store.js";
import { LANGUAGES, language, t } from "./words.js";

const PLACES = [["fleet", "#/"], ["alarms", "#/alarms"], ["summary", "#/summary"]];

export function shell({ app, route, view, dialog }) {
  return html`
    <svg class="hidden" aria-hidden="true"><defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch-ground" width="7" height="7"/><rect class="hatch-line" width="3" height="7"/></pattern></defs></svg>
    <a class="skip" href="#main" @click=${skip}>${t("skip")}</a>
    <header class="top">
      <a class="brand" href="#/"><img src=${new URL("../icon.svg", import.meta.url).href} alt="" width="32" height="32"><span>${t("app.name")}</span></a>
      <nav aria-label=${t("nav")}>${PLACES.map(([name, href]) => place(name, href, route))}</nav>
      <div class="top-tools">
        ${connectionSign()}
        <span class="clock" title=${t("clock.zone", { zone: currentZone() })}><centre-clock></centre-clock><small>${currentZone().split("/").at(-1).replaceAll("_", " ")}</small></span>
        ${languages(app)}
        <button type="button" class="tool" @click=${() => dialog("openSettings")}>${icon("gear")}<span>${t("settings")}</span></button>
        <button type="button" class="tool" @click=${() => dialog("openHelp")}>${icon("help")}<span>${t("help")}</span></button>
      </div>
    </header>
    <div role="alert" class="banners">${banner()}</div>
    <main id="main" tabindex="-1" class=${`view view-${route}`}>${view}</main>
    <p id="announcer" class="hidden" role="status"></p>`;
}

function skip(event) {
  event.preventDefault(); // the hash is the view's address
  const main = document.getElementById("main");
  main.focus();
  main.scrollIntoView();
}

function place(name, href, route) {
  const count = name === "alarms" ? waitingAlarms() : 0;
  const words = t("nav.waiting", { count });
  return html`<a href=${href} aria-current=${route === name ? "page" : "false"}>${t(`nav.${name}`)}${
    count ? html`<span class="count" title=${words}><span aria-hidden="true">${count}</span><span class="hidden">${words}</span></span>` : nothing
  }</a>`;
}

function languages(app) {
  const choose = (wanted) => () => {
    keep({ language: wanted });
    void app.chooseLanguage(wanted);
  };
  return html`<div class="languages" role="group" aria-label=${t("language")}>${LANGUAGES.map(
    (one) => html`<button type="button" lang=${one} aria-pressed=${String(one === language)} @click=${choose(one)}>${one.toUpperCase()}<span class="hidden"> – ${t(`language.${one}`)}</span></button>`,
  )}</div>`;
}

function connectionSign() {
  const standing = { live: state.brokerConnected ? "ok" : "warning", connecting: "stale" }[state.connection] ?? "lost";
  const words = state.connection === "live" && !state.brokerConnected ? "connection.deaf" : `connection.${state.connection}`;
  return html`<span class="badge connection" data-standing=${standing}>${sign(standing)}<span>${t(words)}</span></span>`;
}

function banner() {
  if (state.connection === "signed-out") return strip("lost", t("banner.signed-out"), t("banner.signed-out.remedy"));
  if (state.connection === "lost") {
    const words = state.lostAt ? t("banner.lost", { time: dateTime(state.lostAt) }) : t("banner.never");
    return strip("lost", words, t("banner.lost.remedy"));
  }
  if (state.connection === "live" && !state.brokerConnected) return strip("warning", t("banner.deaf"), t("banner.deaf.remedy"));
  return nothing;
}

function strip(standing, words, remedy) {
  return html`<div class="banner" data-standing=${standing}>${sign(standing)}<p><strong>${words}</strong> ${remedy}</p></div>`;
}
