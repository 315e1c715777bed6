// Everything but the fleet: fetched after the first view has been shown, so that it need not wait for what nobody sees
// yet; and then at once, so that all of it is here when the server is not.

const SHEETS = ["unit", "bars", "forms", "clip", "tables"];
const VIEWS = ["alarms", "clip", "command", "missing", "request", "summary", "unit"];

let coming = null;

function sheet(name) {
  return new Promise((resolve, reject) => {
    const link = Object.assign(document.createElement("link"), {
      rel: "stylesheet", href: new URL(`../css/${name}.css`, import.meta.url).href, onload: resolve,
      onerror: () => reject(new Error(`css/${name}.css does not come`)),
    });
    document.head.append(link);
  });
}

async function everything() {
  const modules = [...VIEWS.map((name) => import(`./views/${name}.js`)), import("./dialogs.js")];
  const [loaded] = await Promise.all([Promise.all(modules), Promise.all(SHEETS.map(sheet))]);
  return Object.assign({}, ...loaded);
}

/** All that the other modules export, by name; asked for again where it did not come. */
export function later() {
  coming ??= everything().catch((error) => {
    coming = null;
    throw error;
  });
  return coming;
}

/** Fetches it when there is nothing better to do. */
export function fetchLater() {
  const fetchNow = () => later().catch((error) => console.info("later:", error.message));
  if (globalThis.requestIdleCallback) globalThis.requestIdleCallback(fetchNow, { timeout: 2000 });
  else setTimeout(fetchNow, 500);
}
