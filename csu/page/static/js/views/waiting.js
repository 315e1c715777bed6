// A view whose parts are still being fetched, or cannot be.

import { html } from "../../packages/lit-html/lit-html.js";
import { t } from "../words.js";
import { failureNote, waiting } from "../parts.js";

export function openWaiting(error = null, retry = null) {
  const shown = error ? { code: "network", message: error.message } : null;
  return { name: "waiting", title: () => t("waiting"), template: () => html`${shown ? failureNote(shown, retry) : waiting()}` };
}
