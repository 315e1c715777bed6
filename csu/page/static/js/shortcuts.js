// Single keys; off while a field has the focus, and altogether where the operator wants it so (WCAG 2.2, 2.1.4).

import { settings } from "./settings.js";

/** Keys in the order in which the help lists them. */
export const SHORTCUTS = [
  { keys: ["f"], words: "shortcut.fleet" },
  { keys: ["a"], words: "shortcut.alarms" },
  { keys: ["s"], words: "shortcut.summary" },
  { keys: ["/"], words: "shortcut.search" },
  { keys: ["r"], words: "shortcut.request" },
  { keys: ["u"], words: "shortcut.up" },
  { keys: ["?"], words: "shortcut.help" },
];

const TYPING = "input, select, textarea, [contenteditable]";

/** Calls `actions[key]` when a key is pressed outside of fields and dialogs. */
export function listen(actions) {
  document.addEventListener("keydown", (event) => {
    if (!settings.shortcuts || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest?.(TYPING) || document.querySelector("dialog[open]")) return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
