// All words that the page shows come from words/<language>.json: flat keys, `{name}` for values, and an object by
// Intl.PluralRules category where a count decides.

import { settings } from "./settings.js";

export const LANGUAGES = ["en", "fr"];

let words = {};
let plural = new Intl.PluralRules("en");

/** The language in force. */
export let language = "en";

const TAGS = { en: "en-GB", fr: "fr-FR" };

/** The language in force as Intl takes it: European dates, hours to 24. */
export function languageTag() {
  return TAGS[language];
}

/** The remembered language, else the first of the browser's that there are words for, else English. */
export function preferredLanguage() {
  const wished = [settings.language, ...navigator.languages].filter(Boolean).map((tag) => tag.slice(0, 2).toLowerCase());
  return wished.find((tag) => LANGUAGES.includes(tag)) ?? "en";
}

/** Puts a language into force. */
export async function speak(wanted) {
  const answer = await fetch(new URL(`../words/${wanted}.json`, import.meta.url));
  if (!answer.ok) throw new Error(`words/${wanted}.json: ${answer.status}`);
  words = await answer.json();
  language = wanted;
  plural = new Intl.PluralRules(wanted);
  document.documentElement.lang = wanted;
}

/** Whether there are words under a key. */
export function has(key) {
  return Object.hasOwn(words, key);
}

/** The words of a key; a missing key shows itself. */
export function t(key, values = {}) {
  let text = has(key) ? words[key] : key;
  if (typeof text === "object") text = text[plural.select(Number(values.count))] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name] ?? "") : whole));
}

/** Words for a code of the service; one that is unknown here is shown as it is. */
export function coded(kind, code, values = {}) {
  const key = `${kind}.${code}`;
  return has(key) ? t(key, values) : String(code ?? "").replaceAll("-", " ").replaceAll("_", " ");
}
