// What heatmap and working set show: columns [t0, t1) and rows [r0, r1), and the cell under the cursor.
class View {
  constructor(columns, rows) {
    Object.assign(this, { columns, rows, cursor: null, watchers: [] });
    this.all();
  }

  all() { Object.assign(this, { t0: 0, t1: this.columns, r0: 0, r1: this.rows }); }

  watch(redraw) { this.watchers.push(redraw); }

  changed() { this.watchers.forEach((redraw) => redraw()); }

  zoom(factor, column, row, timeAlone = false) {
    [this.t0, this.t1] = scaled(this.t0, this.t1, column, factor, Math.min(6, this.columns), this.columns);
    if (!timeAlone) [this.r0, this.r1] = scaled(this.r0, this.r1, row, factor, Math.min(4, this.rows), this.rows);
  }

  pan(columns, rows) {
    const dt = clamp(columns, -this.t0, this.columns - this.t1);
    const dr = clamp(rows, -this.r0, this.rows - this.r1);
    this.t0 += dt; this.t1 += dt; this.r0 += dr; this.r1 += dr;
  }

  // Move the cursor by cells; the view follows.
  step(columns, rows) {
    const from = this.cursor ?? { column: Math.floor((this.t0 + this.t1) / 2), row: Math.floor((this.r0 + this.r1) / 2) };
    const column = clamp(from.column + columns, 0, this.columns - 1);
    const row = clamp(from.row + rows, 0, this.rows - 1);
    this.cursor = { column, row };
    this.pan(Math.min(0, column - this.t0) + Math.max(0, column + 1 - this.t1),
      Math.min(0, row - this.r0) + Math.max(0, row + 1 - this.r1));
  }

  get whole() { return this.t1 - this.t0 >= this.columns && this.r1 - this.r0 >= this.rows; }
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

const scaled = (low, high, at, factor, least, most) => {
  const span = clamp((high - low) / factor, least, most);
  const place = (at - low) / (high - low);
  const begin = clamp(at - span * place, 0, most - span);
  return [begin, begin + span];
};

// The plot inside a canvas: labels left, time below. Both canvases have the same, so that times line up.
const MARGIN = { right: 10, top: 6, bottom: 22 };
const leftOf = (width) => (width < 640 ? 92 : 176);
const plotOf = (width, height) => {
  const left = leftOf(width);
  return { left, top: MARGIN.top, width: Math.max(1, width - left - MARGIN.right), height: Math.max(1, height - MARGIN.top - MARGIN.bottom) };
};

const timeAt = (picture, column) => picture.begin + ((picture.end - picture.begin) * column) / picture.columns;

const drawTimes = (pen, plot, picture, view) => {
  const [from, to] = [timeAt(picture, view.t0), timeAt(picture, view.t1)];
  const step = timeStep(to - from, Math.max(2, plot.width / (clock.on ? 110 : 90)));
  pen.fillStyle = styleOf("--soft");
  pen.strokeStyle = styleOf("--line");
  pen.textBaseline = "top";
  for (let at = Math.ceil(from / step) * step; at <= to + step / 1e6; at += step) {
    const x = plot.left + ((at - from) / (to - from)) * plot.width;
    pen.beginPath(); pen.moveTo(x, plot.top + plot.height); pen.lineTo(x, plot.top + plot.height + 4); pen.stroke();
    pen.textAlign = x > plot.left + plot.width - 24 ? "right" : x < plot.left + 12 ? "left" : "center";
    pen.fillText(moment(at < step / 1e6 ? 0 : at, step), x, plot.top + plot.height + 6);
  }
};

const drawSizes = (pen, plot, top, y) => {
  const step = sizeStep(top, 4);
  pen.textAlign = "right"; pen.textBaseline = "middle";
  for (let at = 0; at <= top * 1.05; at += step) {
    pen.strokeStyle = styleOf("--line");
    pen.beginPath(); pen.moveTo(plot.left, y(at)); pen.lineTo(plot.left + plot.width, y(at)); pen.stroke();
    pen.fillStyle = styleOf("--soft");
    pen.fillText(size(at), plot.left - 10, y(at));
  }
};

const drawLine = (pen, points, colour, dash) => {
  pen.strokeStyle = styleOf(colour); pen.lineWidth = 1.6; pen.lineJoin = "round";
  pen.setLineDash(dash);
  pen.beginPath();
  points.forEach(([x, y]) => pen.lineTo(x, y));
  pen.stroke();
  pen.setLineDash([]);
};

const drawCursor = (pen, plot, view, row) => {
  if (!view.cursor) return;
  const x = plot.left + ((view.cursor.column + 0.5 - view.t0) / (view.t1 - view.t0)) * plot.width;
  pen.strokeStyle = styleOf("--focus");
  pen.lineWidth = 1;
  pen.beginPath();
  if (x >= plot.left && x <= plot.left + plot.width) { pen.moveTo(x, plot.top); pen.lineTo(x, plot.top + plot.height); }
  if (row) {
    const y = plot.top + ((view.cursor.row + 0.5 - view.r0) / (view.r1 - view.r0)) * plot.height;
    if (y >= plot.top && y <= plot.top + plot.height) { pen.moveTo(plot.left, y); pen.lineTo(plot.left + plot.width, y); }
  }
  pen.stroke();
};
