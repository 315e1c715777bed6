// Commands with their states, newest first.

import { html, nothing } from "../packages/lit-html/lit-html.js";
import { repeat } from "../packages/lit-html/directives/repeat.js";
import { bytes, clockTime, dateTime, nearTime, percent } from "./format.js";
import { sign } from "./icons.js";
import { empty } from "./parts.js";
import { link } from "./router.js";
import { now } from "./store.js";
import { coded, t } from "./words.js";

const STANDING = { done: "ok", failed: "trouble", rejected: "trouble", expired: "lost", cancelled: "unheard", running: "warning", accepted: "warning", waiting: "unheard" };

/** Sign and words of a command's state. */
export function stateBadge(state) {
  const busy = ["waiting", "accepted", "running"].includes(state);
  const standing = STANDING[state] ?? "unheard";
  return html`<span class="badge" data-standing=${busy ? "busy" : standing}>${busy ? html`<span class="busy-dot" aria-hidden="true"></span>` : sign(standing)}<span>${coded("state", state)}</span></span>`;
}

/** Why a command was refused or failed, in words and in the unit's own. */
export function errorWords(command) {
  const error = command.reply?.error;
  if (!error) return nothing;
  return html`<span class="small">${coded("code", error.code)}${error.message ? html` <q>${error.message}</q>` : nothing}</span>`;
}

/** Camera and interval of a request for footage. */
export function spanWords(params) {
  if (!params?.from || !params?.to) return params?.camera ?? "";
  return t("span", { camera: params.camera ?? "", from: dateTime(params.from), to: dateTime(params.from).slice(0, -8) === dateTime(params.to).slice(0, -8) ? clockTime(params.to) : dateTime(params.to) });
}

export function commandList(commands) {
  if (!commands.length) return empty(t("commands.none"));
  const sorted = [...commands].sort((a, b) => Date.parse(b.issued_at) - Date.parse(a.issued_at));
  return html`<div class="table-box" tabindex="0" role="region" aria-label=${t("table", { name: t("commands") })}><table class="commands"><thead><tr><th scope="col">${t("command.issued")}</th><th scope="col">${t("command.what")}</th><th scope="col">${t("command.state")}</th><th scope="col">${t("operator")}</th></tr></thead>
    <tbody>${repeat(sorted, (command) => command.command_id, row)}</tbody></table></div>`;
}

function row(command) {
  const progress = command.state === "running" ? command.reply?.progress : null;
  const what = coded("cmd", command.cmd);
  return html`<tr><td class="nowrap"><time datetime=${command.issued_at}>${nearTime(command.issued_at, now())}</time></td>
    <td>${command.cmd === "clip.request" ? html`<a href=${link("units", command.unit_id, "commands", command.command_id)}>${what}</a>` : what}<br><span class="small">${spanWords(command.params)}${command.reference ? ` · ${command.reference}` : ""}</span></td>
    <td>${stateBadge(command.state)} ${progress ? html`<span class="small">${percent(progress.total_bytes ? progress.sent_bytes / progress.total_bytes : 0)} · ${bytes(progress.total_bytes)}</span>` : nothing} ${errorWords(command)}</td>
    <td data-label=${t("operator")}>${command.operator}</td></tr>`;
}
