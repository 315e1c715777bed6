// What this browser remembers: language, colours, the operator's name, whether single-key shortcuts are on.

const KEY = "csu-page";
const DEFAULTS = { language: null, theme: "auto", operator: "", shortcuts: true };

export const settings = { ...DEFAULTS, ...load() };

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return typeof kept === "object" && kept !== null ? kept : {};
  } catch {
    return {}; // storage is shut off, or holds something else: the defaults do
  }
}

/** Changes some settings and remembers them where the browser allows it. */
export function keep(changes) {
  Object.assign(settings, changes);
  document.documentElement.dataset.theme = settings.theme;
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    return false; // they hold until the page is closed
  }
  return true;
}
