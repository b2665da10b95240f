// Small charts over the last five minutes, as SVG.
import { amount, duration, element } from "./format.js";

const SPAN = 300; // seconds
const BROKEN = 5; // seconds without a look, from which on a line is not drawn through
const SHORTEST = 60; // what is shown at first, so that a line is not a dot for minutes
const WIDTH = 300;
const HEIGHT = 64;
const SVG = "http://www.w3.org/2000/svg";

const KINDS = {
  per_second: { title: "requests ended", show: (value) => [amount(value), "/s"], also: "failed_per_second" },
  latency: { title: "first response", show: duration },
  waiting: { title: "waiting", show: (value) => [amount(value), ""] },
  running: { title: "running", show: (value) => [amount(value), ""] },
};

/** One chart of the fleet. `points` is shared with the others, and grows at its end. */
export class Chart {
  constructor(figure, points) {
    this.name = figure.dataset.chart;
    this.kind = KINDS[this.name];
    this.points = points;
    this.hovered = null;
    this.span = SHORTEST;
    this.title = element("span", "", this.kind.title);
    this.top = element("span", "top-value");
    this.value = element("div", "value");
    this.svg = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });
    this.lines = [lines(this.svg, ""), ...(this.kind.also ? [lines(this.svg, "bad")] : [])];
    this.svg.append(this.cursor);
    figure.append(element("figcaption", "", this.title, this.top), this.value, this.svg);
    this.svg.addEventListener("pointermove", (event) => this.hover(event));
    this.svg.addEventListener("pointerleave", () => this.leave());
  }

  draw() {
    const last = this.points.at(-1);
    if (!last) return;
    const names = [this.name, this.kind.also].filter(Boolean);
    const highest = Math.max(0, ...this.points.map((point) => point[this.name] ?? 0));
    const ceiling = nice(highest);
    this.span = span(this.points);
    names.forEach((name, at) => draw(this.lines[at], this.points, name, ceiling, this.span));
    const [top, unit] = this.kind.show(ceiling);
    this.top.textContent = highest > 0 ? `${top} ${unit}`.trim() : "";
    this.show();
  }

  show() {
    const point = this.hovered ?? this.points.at(-1);
    const [number, unit] = this.kind.show(point[this.name]);
    const failed = this.kind.also ? point[this.kind.also] : 0;
    const ago = this.hovered ? Math.round(this.points.at(-1).time - point.time) : 0;
    this.value.replaceChildren(number, element("span", "unit", unit));
    if (failed > 0) this.value.append(element("span", "aside", `${amount(failed)} failed`));
    if (ago > 0) this.value.append(element("span", "unit", `${ago} s ago`));
    this.svg.setAttribute("aria-label", `${this.kind.title}: ${number} ${unit}`);
  }

  hover(event) {
    const box = this.svg.getBoundingClientRect();
    const time = this.points.at(-1)?.time - this.span * (1 - (event.clientX - box.left) / box.width);
    if (Number.isNaN(time)) return;
    this.hovered = this.points.reduce((best, point) =>
      Math.abs(point.time - time) < Math.abs(best.time - time) ? point : best);
    const x = place(this.hovered.time, this.points.at(-1).time, this.span);
    setAll(this.cursor, { x1: x, x2: x, visibility: "visible" });
    this.show();
  }

  leave() {
    this.hovered = null;
    this.cursor.setAttribute("visibility", "hidden");
    if (this.points.length) this.show();
  }
}

/** A line without a scale, for a row: `update` gives it one more value. */
export class Spark {
  constructor() {
    this.points = [];
    this.root = svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" });
    this.root.setAttribute("aria-hidden", "true");
    this.root.append(svg("line", { class: "base", x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 }));
    this.lines = lines(this.root, "");
  }

  update(time, value) {
    this.points.push({ time, value });
    while (this.points[0].time < time - SPAN) this.points.shift();
    const highest = Math.max(0, ...this.points.map((point) => point.value));
    draw(this.lines, this.points, "value", highest || 1, span(this.points));
  }
}

/** Takes what is older than a chart shows out of the points. */
export function forget(points) {
  const last = points.at(-1)?.time ?? 0;
  while (points.length && points[0].time < last - SPAN) points.shift();
}

function lines(parent, kind) {
  const area = svg("path", { class: `area ${kind}` });
  const line = svg("path", { class: `line ${kind}` });
  parent.append(area, line);
  return { area, line };
}

function draw({ area, line }, points, name, ceiling, span) {
  const now = points.at(-1).time;
  // Where there is no value the line has a gap.
  const runs = [];
  let run = null;
  let before = 0;
  for (const point of points) {
    const value = point[name];
    if (point.time - before > BROKEN) run = null;
    before = point.time;
    if (value === null || value === undefined) {
      run = null;
      continue;
    }
    if (!run) runs.push((run = []));
    run.push([place(point.time, now, span), HEIGHT - 1 - (HEIGHT - 6) * Math.min(1, value / ceiling)]);
  }
  const paths = runs.map((run) => "M" + (run.length > 1 ? run : [[run[0][0] - 1, run[0][1]], run[0]])
    .map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L"));
  line.setAttribute("d", paths.join(""));
  area.setAttribute("d", paths.map((path, at) =>
    `${path}L${runs[at].at(-1)[0].toFixed(1)} ${HEIGHT}L${runs[at][0][0].toFixed(1)} ${HEIGHT}Z`).join(""));
}

function place(time, now, span) {
  return WIDTH * (1 - (now - time) / span);
}

/** The seconds that a chart of these points shows. */
function span(points) {
  return Math.min(SPAN, Math.max(SHORTEST, points.at(-1).time - points[0].time));
}

/** The next number above that people would write on a scale. */
function nice(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value) * power;
}

function svg(tag, attributes) {
  return setAll(document.createElementNS(SVG, tag), attributes);
}

function setAll(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
