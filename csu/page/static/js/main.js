// Start: words, the service's word on itself and the stream, all at once; then the view that the address names.

import { get } from "./api.js";
import { App } from "./app.js";
import { defineElements } from "./elements.js";
import { useZone } from "./format.js";
import { keep, settings } from "./settings.js";
import { setConnection, state } from "./store.js";
import { Stream } from "./stream.js";
import { preferredLanguage, speak } from "./words.js";

async function servicePage() {
  try {
    return await get("/v1/page");
  } catch (error) {
    if (error.status === 401) setConnection("signed-out");
    return null;
  }
}

async function start() {
  const app = new App(document.getElementById("root"));
  new Stream("/v1/stream", {
    onEvent: (event, body) => app.hear(event, body),
    onState: (connection) => app.connected(connection),
  }).start();
  const [page] = await Promise.all([servicePage(), speak(preferredLanguage())]);
  if (page) {
    state.page = page;
    useZone(page.zone);
    if (!settings.operator && page.operator) keep({ operator: page.operator });
  }
  defineElements();
  app.start();
}

await start();
