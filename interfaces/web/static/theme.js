// Runs before anything is painted, so that the page never flashes in the other theme. No module: those run too late.
"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const read = () => {
    try {
      return localStorage.getItem("gridproof-theme") || "auto";
    } catch {
      return "auto"; // storage is forbidden in some browsers; the theme is then the system's
    }
  };
  const apply = () => {
    const wanted = read();
    document.documentElement.dataset.theme = wanted === "auto" ? (dark.matches ? "dark" : "light") : wanted;
    dispatchEvent(new Event("gridproof-theme"));
  };
  dark.addEventListener("change", apply);
  addEventListener("gridproof-theme-chosen", apply);
  // Paper is white.
  addEventListener("beforeprint", () => {
    document.documentElement.dataset.printedFrom = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
  });
  addEventListener("afterprint", apply);
  apply();
})();
