// One place for Preact, its hooks and htm, so that every other file imports `./dom.js` alone.
import { h, options } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";

export { Component, createContext, render } from "./vendor/preact.mjs";
export { useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.mjs";

export const html = htm.bind(h);

/** Draws what `change()` changes before this returns, not a turn later: a print takes the document as it is. */
export function drawnAtOnce(change) {
  const later = options.debounceRendering;
  options.debounceRendering = (draw) => draw();
  try {
    change();
  } finally {
    options.debounceRendering = later;
  }
}
