// One place for Preact, its hooks and htm, so that every other file imports `./dom.js` alone.
import { h } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";

export { Component, createContext, render } from "./vendor/preact.mjs";
export { useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.mjs";

export const html = htm.bind(h);
