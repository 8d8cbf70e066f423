// The working set over the same time as the heatmap: the mean of each column, and from its least to its most.
class Curve {
  constructor(canvas, picture, curve, view, tip) {
    Object.assign(this, { canvas, picture, curve, view, tip });
    const known = curve.resident.filter((one) => one !== null);
    this.most = Math.max(1, ...curve.high);
    this.mostResident = known.length ? Math.max(...known) : 0;
    this.box = find("resident");
    if (known.length) this.box.checked = this.mostResident < 4 * this.most;
    else find("resident-label").hidden = true;
    this.box.addEventListener("change", () => this.draw());
    view.watch(() => this.draw());
    this.listen();
  }

  draw() {
    const { pen, width, height } = fit(this.canvas);
    const plot = (this.plot = plotOf(width, height));
    const { view, curve } = this;
    const top = this.box.checked ? Math.max(this.most, this.mostResident) : this.most;
    const x = (bin) => plot.left + ((bin + 0.5 - view.t0) / (view.t1 - view.t0)) * plot.width;
    const y = (bytes) => plot.top + plot.height * (1 - bytes / (top * 1.05));
    drawSizes(pen, plot, top, y);
    drawTimes(pen, plot, this.picture, view);
    pen.save();
    pen.beginPath(); pen.rect(plot.left, plot.top, plot.width, plot.height); pen.clip();
    const near = curve.bin.map((_, at) => at).filter((at) => curve.bin[at] >= view.t0 - 2 && curve.bin[at] <= view.t1 + 1);
    pen.fillStyle = styleOf("--band");
    pen.beginPath();
    near.forEach((at) => pen.lineTo(x(curve.bin[at]), y(curve.high[at])));
    near.slice().reverse().forEach((at) => pen.lineTo(x(curve.bin[at]), y(curve.low[at])));
    pen.fill();
    drawLine(pen, near.map((at) => [x(curve.bin[at]), y(curve.mean[at])]), "--accent", []);
    if (this.box.checked) {
      drawLine(pen, near.filter((at) => curve.resident[at] !== null).map((at) => [x(curve.bin[at]), y(curve.resident[at])]), "--second", [6, 4]);
    }
    pen.restore();
    drawCursor(pen, plot, view, false);
  }

  listen() {
    const { canvas, view, curve } = this;
    canvas.addEventListener("pointermove", (event) => {
      const x = (event.clientX - canvas.getBoundingClientRect().left - this.plot.left) / this.plot.width;
      const column = Math.floor(view.t0 + (view.t1 - view.t0) * x);
      if (x < 0 || x >= 1 || !curve.bin.length) { view.cursor = null; this.tip.hide(); view.changed(); return; }
      view.cursor = { column: clamp(column, 0, view.columns - 1), row: view.cursor?.row ?? 0 };
      const at = curve.bin.reduce((best, bin, index) => (Math.abs(bin - column) < Math.abs(curve.bin[best] - column) ? index : best), 0);
      const least = curve.low[at] === curve.high[at] ? [] : [`from ${size(curve.low[at])} to ${size(curve.high[at])}`];
      const there = curve.resident[at] === null ? [] : [`of ${size(curve.resident[at])} resident`];
      this.tip.show([moment(timeAt(this.picture, curve.bin[at]), 0), `${size(curve.mean[at])} touched`, ...least, ...there], event.clientX, event.clientY);
      view.changed();
    });
    canvas.addEventListener("pointerleave", () => { view.cursor = null; this.tip.hide(); view.changed(); });
  }
}
