// What a chart draws besides its lines: the window of a DR event, gaps, the present moment, marks.
/** The page's type size, px: what is drawn grows with it, from a phone to a wall. */
export const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Canvas fonts and lines are in device pixels. */
export const fontOf = (share = 0.82) => `${Math.round(rem() * share)}px ${getComputedStyle(document.body).fontFamily}`;

function stripe(context, fill) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d");
  pen.strokeStyle = fill;
  pen.lineWidth = 2;
  for (const shift of [-8, 0, 8]) {
    pen.beginPath();
    pen.moveTo(shift, 8);
    pen.lineTo(shift + 8, 0);
    pen.stroke();
  }
  return context.createPattern(tile, "repeat");
}

function spanOf(plot, from, to) {
  const { left, width } = plot.bbox;
  const at = (moment) => Math.min(left + width, Math.max(left, plot.valToPos(moment / 1000, "x", true)));
  return [at(from), at(to)];
}

/** Behind the lines: `{from, to, label?, kind}`, where kind is `window` or `gap`. */
export function paintSpans(plot, spans) {
  const { ctx: context, bbox } = plot;
  context.save();
  for (const { from, to, label, kind } of spans) {
    const [first, last] = spanOf(plot, from, to);
    if (last <= first) continue;
    context.fillStyle = kind === "gap" ? stripe(context, colour("gap-fill")) : colour("window-fill");
    context.fillRect(first, bbox.top, last - first, bbox.height);
    context.font = scaledFont(0.78);
    if (label && context.measureText(label).width < last - first - 8 * devicePixelRatio) {
      context.fillStyle = colour(kind === "gap" ? "warn" : "accent");
      context.textBaseline = "top";
      context.fillText(label, first + 5 * devicePixelRatio, bbox.top + 4 * devicePixelRatio);
    }
  }
  context.restore();
}

const scaledFont = (share) => `${Math.round(rem() * share * devicePixelRatio)}px ${getComputedStyle(document.body).fontFamily}`;

/** What the figures of the axis are of, above them. */
export function paintUnit(plot, unit) {
  const { ctx: context, bbox } = plot;
  context.save();
  context.font = scaledFont(0.82);
  context.fillStyle = colour("ink-faint");
  context.textAlign = "right";
  context.textBaseline = "bottom";
  context.fillText(unit, bbox.left - 5 * devicePixelRatio, bbox.top - 9 * devicePixelRatio);
  context.restore();
}

/** Over the lines: upright lines `{at, label, tone}`; those outside are left out. */
export function paintMarks(plot, marks) {
  const { ctx: context, bbox } = plot;
  context.save();
  context.font = scaledFont(0.78);
  context.textBaseline = "bottom";
  const taken = [];
  const line = rem() * devicePixelRatio;
  for (const { at, label, tone } of marks) {
    const x = plot.valToPos(at / 1000, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    context.strokeStyle = context.fillStyle = colour(tone || "ink-faint");
    context.lineWidth = devicePixelRatio;
    context.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    context.beginPath();
    context.moveTo(x, bbox.top);
    context.lineTo(x, bbox.top + bbox.height);
    context.stroke();
    if (!label) continue;
    const width = context.measureText(label).width + 10;
    const room = bbox.left + bbox.width - x > width;
    context.textAlign = room ? "left" : "right";
    const [first, last] = room ? [x, x + width] : [x - width, x];
    // One that would be written over another stands a line higher.
    let row = 0;
    while (taken.some((one) => one.row === row && one.first < last && first < one.last)) row += 1;
    taken.push({ row, first, last });
    context.fillText(label, x + (room ? 4 : -4) * devicePixelRatio, bbox.top + bbox.height - 3 * devicePixelRatio - row * line);
  }
  context.restore();
}
