"""JavaScript that finds what a person cannot see of a page: what is cut, off the screen, or written over."""

CANVAS_TEXTS = """(() => {
  const texts = new WeakMap();
  window.canvasTexts = (canvas) => texts.get(canvas) || [];
  const { fillText, clearRect } = CanvasRenderingContext2D.prototype;
  const size = Object.getOwnPropertyDescriptor(HTMLCanvasElement.prototype, "width");
  const forget = (canvas) => texts.set(canvas, []);
  Object.defineProperty(HTMLCanvasElement.prototype, "width", {
    ...size,
    set(value) {
      forget(this);
      size.set.call(this, value);
    },
  });
  CanvasRenderingContext2D.prototype.clearRect = function (x, y, width, height) {
    if (width >= this.canvas.width) forget(this.canvas);
    return clearRect.call(this, x, y, width, height);
  };
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
    const measured = this.measureText(text);
    const at = this.getTransform().transformPoint({ x, y });
    const box = {
      text: String(text), canvas: this.canvas,
      left: at.x - measured.actualBoundingBoxLeft, right: at.x + measured.actualBoundingBoxRight,
      top: at.y - measured.actualBoundingBoxAscent, bottom: at.y + measured.actualBoundingBoxDescent,
    };
    if (text) texts.set(this.canvas, [...canvasTexts(this.canvas), box]);
    return fillText.call(this, text, x, y);
  };
})()"""
"""Records the place of every text that is drawn in a canvas, in its pixels; before the page is loaded."""

FAULTS = """(() => {
  const slack = 1.5;
  const start = (text) => text.trim().slice(0, 60);
  const told = (one) =>
    `${one.tagName.toLowerCase()}.${one.className} “${start(one.innerText || one.getAttribute("aria-label") || "")}”`;
  const isShown = (one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const isHidden = (one) => one.closest(".visually-hidden, .skip, .toasts, [aria-hidden=true], svg, option");
  const found = [];
  const scrollers = new Map();
  /** The boxes in which one may scroll sideways, from the inside. */
  const scroller = (one) => {
    for (let at = one.parentElement; at; at = at.parentElement) {
      const isMeant = ["auto", "scroll"].includes(getComputedStyle(at).overflowX);
      if (isMeant && at.scrollWidth > at.clientWidth + slack) return at;
    }
    return null;
  };
  for (const one of document.querySelectorAll("body *")) {
    if (isHidden(one) || !isShown(one)) continue;
    const style = getComputedStyle(one);
    const hides = (overflow) => ["hidden", "clip"].includes(overflow);
    const isWider = one.scrollWidth > one.clientWidth + slack;
    const isHigher = one.scrollHeight > one.clientHeight + slack;
    if (hides(style.overflowX) && isWider) found.push(`cut at the side: ${told(one)}`);
    if (hides(style.overflowY) && isHigher) found.push(`cut below: ${told(one)}`);
    const box = one.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    const frame = scroller(one);
    const isControl = one.matches("button, a, input, select, textarea, summary");
    if (!frame && (box.right > innerWidth + slack || box.left < -slack)) found.push(`off the screen: ${told(one)}`);
    if (frame && isControl) {
      const seen = frame.getBoundingClientRect();
      const isAside = box.right > seen.right + slack || box.left < seen.left - slack;
      if (isAside) found.push(`to be scrolled to: ${told(one)}`);
    }
  }
  for (const frame of document.querySelectorAll(".table-frame")) {
    const mayScroll = innerWidth < 768 && !frame.querySelector(".cards");
    const more = frame.scrollWidth - frame.clientWidth;
    if (!mayScroll && more > slack) found.push(`a table ${more} too wide: ${frame.getAttribute("aria-label")}`);
  }
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || isHidden(parent) || !isShown(parent)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const clip = parent.closest(".table-frame, .scrolls, .audit-steps, .segments, .body")?.getBoundingClientRect();
    for (const { left, right, top, bottom } of range.getClientRects()) {
      const isScrolledAway = clip && (top < clip.top || bottom > clip.bottom || left < clip.left || right > clip.right);
      if (right - left < 1 || isScrolledAway) continue;
      texts.push({ node, parent, left, right, top, bottom });
      const holder = parent.closest("td, th, .figure, .tile, .chip, .button, .panel, .needs, .banner");
      const box = holder?.getBoundingClientRect();
      const isOut = box && (right > box.right + slack || left < box.left - slack);
      if (isOut) found.push(`out of its box: “${start(node.data)}” in ${told(holder)}`);
    }
  }
  const isFloating = (one) => one.closest(".bar, thead, .slider-panel, dialog, .nav");
  const flat = texts.filter(({ parent }) => !isFloating(parent)).sort((a, b) => a.top - b.top);
  const shared = (a, b, first, last) => Math.min(a[last], b[last]) - Math.max(a[first], b[first]);
  const overlaps = (a, b) => shared(a, b, "left", "right") > 2 && shared(a, b, "top", "bottom") > 4;
  flat.forEach((one, n) => {
    for (let next = n + 1; next < flat.length && flat[next].top < one.bottom; next += 1) {
      const other = flat[next];
      if (other.node === one.node || !overlaps(one, other)) continue;
      found.push(`written over each other: “${start(one.node.data)}” and “${start(other.node.data)}”`);
    }
  });
  for (const canvas of document.querySelectorAll("canvas")) {
    const drawn = canvasTexts(canvas);
    drawn.forEach((one, n) => {
      const isCut = one.left < -slack || one.right > canvas.width + slack || one.bottom > canvas.height + slack;
      if (isCut) found.push(`cut in a chart: “${one.text}”`);
      const over = drawn.slice(n + 1).filter((other) => overlaps(one, other));
      for (const { text } of over) found.push(`written over each other in a chart: “${one.text}” and “${text}”`);
    });
  }
  return [...new Set(found)];
})()"""
"""What is wrong with the page as it is drawn now; empty if nothing is."""
