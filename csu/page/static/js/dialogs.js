// Modal dialogs: settings, help, and an operator's name where one is needed. The browser keeps the focus inside.

import { html, render } from "../packages/lit-html/lit-html.js";
import { keep, settings } from "./settings.js";
import { SHORTCUTS } from "./shortcuts.js";
import { changed, state } from "./store.js";
import { t } from "./words.js";

/** Shows a dialog; `content(close)` is drawn into it. Resolves with what `close` is given, undefined on Escape. */
export function openDialog(title, content) {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-labelledby", "dialog-title");
    const before = document.activeElement;
    let result;
    const close = (value) => {
      result = value;
      dialog.close();
    };
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before?.isConnected) before.focus();
      resolve(result);
    });
    document.body.append(dialog);
    render(html`<h2 id="dialog-title">${title}</h2>${content(close)}`, dialog);
    dialog.showModal();
  });
}

export function openHelp() {
  const rows = SHORTCUTS.map(({ keys, words }) => html`<tr><th scope="row">${keys.map((key) => html`<kbd>${key}</kbd>`)}</th><td>${t(words)}</td></tr>`);
  return openDialog(t("help"), (close) => html`
    <h3>${t("help.signs")}</h3><p>${t("help.signs.words")}</p>
    <h3>${t("help.keys")}</h3>
    <p>${settings.shortcuts ? t("help.keys.words") : t("help.keys.off")}</p>
    <table class="keys"><tbody>${rows}</tbody></table>
    <p class="small">${t("help.version", { version: state.page.software_version ?? "" })}</p>
    <p class="dialog-actions"><button type="button" class="button button-main" @click=${() => close()}>${t("action.close")}</button></p>`);
}

export function openSettings() {
  const theme = (value) => html`<label class="choice"><input type="radio" name="theme" value=${value} ?checked=${settings.theme === value} @change=${() => keep({ theme: value })}> ${t(`theme.${value}`)}</label>`;
  return openDialog(t("settings"), (close) => html`<form method="dialog" @submit=${(event) => { event.preventDefault(); close(); }}>
    <fieldset><legend>${t("theme")}</legend>${["auto", "dark", "light"].map(theme)}</fieldset>
    <div class="field"><label for="operator-name">${t("operator")}</label><p class="hint" id="operator-hint">${t("operator.hint")}</p>
      <input id="operator-name" type="text" maxlength="200" autocomplete="name" aria-describedby="operator-hint" .value=${settings.operator} @input=${(event) => keep({ operator: event.target.value.trim() })}></div>
    <label class="choice"><input type="checkbox" ?checked=${settings.shortcuts} @change=${(event) => keep({ shortcuts: event.target.checked })}> ${t("settings.shortcuts")}</label>
    <p class="dialog-actions"><button class="button button-main">${t("action.close")}</button></p></form>`).then(changed);
}

/** The operator's name, asked for where none is remembered; null when the question is dismissed. */
export async function operatorName() {
  if (settings.operator) return settings.operator;
  const name = await openDialog(t("operator.ask"), (close) => html`<form @submit=${(event) => {
    event.preventDefault();
    const given = event.target.elements.namedItem("operator").value.trim();
    if (given) close(given);
  }}>
    <div class="field"><label for="operator-asked">${t("operator")}</label><p class="hint" id="operator-asked-hint">${t("operator.hint")}</p>
      <input id="operator-asked" name="operator" type="text" required maxlength="200" autocomplete="name" aria-describedby="operator-asked-hint"></div>
    ${dialogActions(close, t("action.continue"))}</form>`);
  if (!name) return null;
  keep({ operator: name });
  return name;
}

/** The buttons that end a form in a dialog. */
export function dialogActions(close, words, busy = false) {
  return html`<p class="dialog-actions"><button type="button" class="button" @click=${() => close()}>${t("action.cancel")}</button>
    <button class="button button-main" ?disabled=${busy}>${words}</button></p>`;
}
