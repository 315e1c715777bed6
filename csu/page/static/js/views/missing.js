// An address that names nothing.

import { html } from "../../packages/lit-html/lit-html.js";
import { t } from "../words.js";

export function openMissing() {
  return {
    name: "missing",
    title: () => t("missing"),
    template: () => html`<h1 tabindex="-1">${t("missing")}</h1><p><a href="#/">${t("nav.fleet")}</a></p>`,
  };
}
