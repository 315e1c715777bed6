// Drawn signs: each standing has a shape of its own, so that nobody depends on its colour.

import { html, svg } from "../packages/lit-html/lit-html.js";

const SHAPES = {
  trouble: svg`<path class="sign-body" d="M8.3 2h7.4L22 8.3v7.4L15.7 22H8.3L2 15.7V8.3z"/><path class="sign-mark" d="M12 6.5v7"/><circle class="sign-dot" cx="12" cy="17.2" r="1.4"/>`,
  lost: svg`<rect class="sign-body" x="2.5" y="2.5" width="19" height="19" rx="3"/><path class="sign-mark" d="m7.8 7.8 8.4 8.4m0-8.4-8.4 8.4"/>`,
  unheard: svg`<circle class="sign-body sign-open" cx="12" cy="12" r="9.5"/><path class="sign-mark" d="M9.3 9.3a2.8 2.8 0 1 1 4 2.6c-.9.5-1.3 1-1.3 2"/><circle class="sign-dot" cx="12" cy="17" r="1.3"/>`,
  warning: svg`<path class="sign-body" d="M12 2.2 23 21.5H1z"/><path class="sign-mark" d="M12 9v6"/><circle class="sign-dot" cx="12" cy="18.2" r="1.3"/>`,
  ok: svg`<circle class="sign-body" cx="12" cy="12" r="10"/><path class="sign-mark" d="m7.2 12.4 3.2 3.2 6.4-7"/>`,
  stale: svg`<circle class="sign-body sign-open" cx="12" cy="12" r="9.5"/><path class="sign-mark" d="M7.5 12h9"/>`,
};

/** The sign of a standing; the words stand beside it. */
export function sign(standing) {
  const shape = SHAPES[standing] ?? SHAPES.unheard;
  return html`<svg class="sign" data-standing=${standing} viewBox="0 0 24 24" aria-hidden="true" focusable="false">${shape}</svg>`;
}

const STROKES = {
  camera: svg`<path d="M3 7h11a2 2 0 0 1 2 2v6a2 2 0 0 1-2 2H3a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1zm13 4 6-3v8l-6-3"/>`,
  bell: svg`<path d="M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21h4"/>`,
  place: svg`<path d="M12 21s7-6.3 7-11.5A7 7 0 0 0 5 9.500C5 14.700 12 21 12 21z"/><circle cx="12" cy="9.500" r="2.500"/>`,
  film: svg`<rect x="3" y="5" width="18" height="14" rx="2"/><path d="M8 5v14M16 5v14M3 12h18"/>`,
  back: svg`<path d="m14 6-6 6 6 6"/>`,
  forward: svg`<path d="m10 6 6 6-6 6"/>`,
  fit: svg`<path d="M4 9V4h5m6 0h5v5m0 6v5h-5m-6 0H4v-5"/>`,
  help: svg`<circle cx="12" cy="12" r="9"/><path d="M9.600 9.500a2.500 2.500 0 1 1 3.600 2.300c-.8.4-1.200.9-1.200 1.900"/><circle cx="12" cy="17" r=".6"/>`,
  gear: svg`<path d="M4 7h9m5 0h2M4 17h2m5 0h9"/><circle cx="15.500" cy="7" r="2.500"/><circle cx="8.500" cy="17" r="2.500"/>`,
  printer: svg`<path d="M7 9V3h10v6M7 17H4v-7a1 1 0 0 1 1-1h14a1 1 0 0 1 1 1v7h-3"/><rect x="7" y="14" width="10" height="7"/>`,
  download: svg`<path d="M12 4v11m-5-5 5 5 5-5M4 20h16"/>`,
  list: svg`<path d="M8 6h12M8 12h12M8 18h12"/><circle cx="4" cy="6" r=".8"/><circle cx="4" cy="12" r=".8"/><circle cx="4" cy="18" r=".8"/>`,
  search: svg`<circle cx="10.500" cy="10.500" r="6.500"/><path d="m15.500 15.500 5 5"/>`,
};

/** A line drawing beside words. */
export function icon(name) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">${STROKES[name]}</svg>`;
}
