// A chart of quantities over time, on uPlot: bands, windows, gaps, a legend that follows the pointer, and the same as
// a table for those who do not see it.
import { html, useEffect, useMemo, useRef, useState } from "../dom.js";
import { kw, momentSeconds, zoneName } from "../format.js";
import { settings } from "../settings.js";
import { useStore } from "../store.js";
import { colour, fontOf, paintMarks, paintSpans, paintUnit, rem } from "./chart_paint.js";
import { Table } from "./table.js";

const DASHES = { dashed: [7, 5], dotted: [2, 4] };
const { uPlot } = window;

function seriesOf(one) {
  return {
    label: one.label,
    stroke: one.hidden ? "transparent" : colour(one.colour),
    width: one.hidden ? 0 : one.width || 2,
    dash: DASHES[one.line],
    paths: one.step ? uPlot.paths.stepped({ align: 1 }) : undefined,
    points: { show: one.points || false, size: 5 },
    spanGaps: false,
  };
}

function axis(more) {
  return {
    stroke: colour("ink-faint"),
    font: fontOf(),
    grid: { stroke: colour("line"), width: 1 },
    ticks: { show: false },
    ...more,
  };
}

const clockOf = (date) => `${String(date.getHours()).padStart(2, "0")}:${String(date.getMinutes()).padStart(2, "0")}`;

/** `14:00`, and the day below it where it changes. */
function timesOf(_, splits) {
  let before = null;
  return splits.map((second) => {
    const date = tzDate(second);
    const day = date.toDateString();
    const name = date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
    const isNew = day !== before;
    before = day;
    return isNew ? `${clockOf(date)}\n${name}` : clockOf(date);
  });
}

const tzDate = (second) =>
  settings.get().zone === "utc" ? uPlot.tzDate(new Date(second * 1000), "Etc/UTC") : new Date(second * 1000);

function optionsOf({ series, bands, unit, floor }, box, drawn, follow) {
  const em = rem();
  return {
    width: box.width,
    height: box.height,
    tzDate,
    legend: { show: false },
    // Above: the unit. At the right: half of a day's name, which else is cut where a tick is the last of all.
    padding: [1.5 * em, 1.7 * em, 0, 0],
    cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
    scales: {
      x: { time: true, range: () => [drawn.current.from / 1000, drawn.current.to / 1000] },
      y: { range: (_, low, high) => rangeOf(low, high, floor) },
    },
    axes: [
      axis({ values: timesOf, space: 4.2 * em, size: 2.9 * em }),
      axis({ values: (_, splits) => splits.map((value) => kwTick(value)), size: 3.9 * em, space: 2.4 * em }),
    ],
    series: [{}, ...series.map(seriesOf)],
    bands: (bands || []).map(({ high, low, colour: name }) => ({
      series: [1 + series.findIndex(({ id }) => id === high), 1 + series.findIndex(({ id }) => id === low)],
      fill: colour(name || "band"),
    })),
    hooks: {
      drawClear: [(plot) => paintSpans(plot, drawn.current.spans || [])],
      draw: [(plot) => paintMarks(plot, drawn.current.marks || []), (plot) => paintUnit(plot, unit)],
      setCursor: [(plot) => follow(plot.cursor.idx)],
    },
  };
}

const kwTick = (value) => (Math.abs(value) >= 1000 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : String(value));

function rangeOf(low, high, floor) {
  if (low === null || high === null) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  const bottom = floor === 0 ? Math.min(0, low - (low < 0 ? room : 0)) : low - room;
  return [bottom, high + room];
}

function Swatch({ one }) {
  return html`<span class="swatch ${one.line || ""} ${one.area ? "area" : ""}" style=${{ "--swatch": `var(--${one.colour})` }}></span>`;
}

/**
 * `times`: ms, ascending. `series`: `{id, label, colour, values, line?: "dashed" | "dotted", step?, hidden?, points?}`,
 * null where nothing is known: a gap in its line. `bands`: `{label, high, low}` by ids. `spans` and `marks`: see
 * chart_paint. `label` says in words what is seen. `floor: 0` has the axis begin at nothing.
 */
export function Chart({ label, times, series, bands = [], spans = [], marks = [], from, to, unit = "kW", floor }) {
  const { zone } = useStore(settings);
  const host = useRef(null);
  const legend = useRef(null);
  const plot = useRef(null);
  const drawn = useRef({});
  const [theme, setTheme] = useState(0);
  drawn.current = { from, to, spans, marks, series, times };
  const data = useMemo(() => [times.map((ms) => ms / 1000), ...series.map(({ values }) => values)], [times, series]);
  const shape = series.map(({ id, colour: name, hidden, line, step }) => [id, name, hidden, line, step].join()).join(";");

  useEffect(() => {
    const again = () => setTheme((number) => number + 1);
    addEventListener("gridproof-theme", again);
    return () => removeEventListener("gridproof-theme", again);
  }, []);

  useEffect(() => {
    const box = host.current;
    const follow = (index) => showValues(legend.current, drawn.current, index);
    const size = () => ({ width: Math.max(120, box.clientWidth), height: Math.max(120, box.clientHeight) });
    plot.current = new uPlot(optionsOf({ series, bands, unit, floor }, size(), drawn, follow), data, box);
    const observer = new ResizeObserver(() => plot.current?.setSize(size()));
    observer.observe(box);
    return () => {
      observer.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [shape, theme, zone, floor]);

  useEffect(() => {
    plot.current?.setData(data);
    showValues(legend.current, drawn.current, null);
  }, [data, from, to, spans, marks]);

  const visible = series.filter(({ hidden }) => !hidden);
  return html`<figure class="chart">
    <div class="legend" ref=${legend}>
      ${visible.map((one) => html`<span key=${one.id}><${Swatch} one=${one} />${one.label}<output data-series=${one.id} aria-hidden="true"></output></span>`)}
      ${bands.map((band) => html`<span key=${band.label}><${Swatch} one=${{ area: true, colour: band.colour || "band" }} />${band.label}</span>`)}
      <span class="faint" data-moment></span>
      <span class="faint zone">times in ${zoneName()}</span>
    </div>
    <div class="chart-canvas" ref=${host} role="img" aria-label=${label}></div>
    <${AsTable} label=${label} times=${times} series=${series} unit=${unit} />
  </figure>`;
}

/** Under the pointer, else the newest that is known: straight into the page, since it follows every move. */
function showValues(legend, { series, times }, index) {
  if (!legend) return;
  for (const output of legend.querySelectorAll("output")) {
    const values = series.find(({ id }) => id === output.dataset.series)?.values || [];
    output.textContent = index === null || index === undefined ? "" : kw(values[index]);
  }
  const moment = legend.querySelector("[data-moment]");
  moment.textContent = index === null || index === undefined ? "" : momentSeconds(new Date(times[index]).toISOString());
}

function AsTable({ label, times, series, unit }) {
  const [open, setOpen] = useState(false);
  const columns = useMemo(
    () => [
      { id: "at", label: `Time (${zoneName()})`, header: true, cell: ({ at }) => momentSeconds(new Date(at).toISOString()), sort: ({ at }) => at, value: ({ at }) => new Date(at).toISOString() },
      ...series.map(({ id, label: name, values }) => ({ id, label: `${name}, ${unit}`, number: true, cell: ({ n }) => kw(values[n]), value: ({ n }) => values[n] })),
    ],
    [series, unit],
  );
  const rows = useMemo(
    () => times.map((at, n) => ({ at, n })).filter(({ n }) => series.some(({ values }) => values[n] !== null && values[n] !== undefined)),
    [times, series],
  );
  return html`<details onToggle=${(toggled) => setOpen(toggled.currentTarget.open)}>
    <summary>As a table</summary>
    ${open && html`<${Table} caption=${label} columns=${columns} rows=${rows} rowKey=${({ at }) => at} tall wide first="at" />`}
  </details>`;
}
