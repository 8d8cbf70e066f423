// The heatmap: one byte a cell; a pixel that shows several cells shows the hottest of them.
class Heat {
  constructor(canvas, picture, targets, view, tip, rateWord) {
    Object.assign(this, { canvas, picture, targets, view, tip, rateWord, colours: palette() });
    this.many = targets.length > 1;
    this.labelOf = new Map(targets.map((one) => [one.target, one.label]));
    view.watch(() => this.draw());
    dark.addEventListener("change", () => { this.colours = palette(); });
    this.listen();
  }

  draw() {
    const { pen, ratio, width, height } = fit(this.canvas);
    const plot = (this.plot = plotOf(width, height));
    this.hatch(pen, plot);
    const image = this.image(Math.round(plot.width * ratio), Math.round(plot.height * ratio));
    const layer = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
    layer.getContext("2d").putImageData(image, 0, 0);
    pen.drawImage(layer, plot.left, plot.top, plot.width, plot.height);
    this.drawLabels(pen, plot);
    drawTimes(pen, plot, this.picture, this.view);
    drawCursor(pen, plot, this.view, true);
  }

  hatch(pen, plot) {
    pen.fillStyle = styleOf("--paper");
    pen.fillRect(plot.left, plot.top, plot.width, plot.height);
    pen.save();
    pen.beginPath(); pen.rect(plot.left, plot.top, plot.width, plot.height); pen.clip();
    pen.strokeStyle = styleOf("--hatch"); pen.lineWidth = 3;
    pen.beginPath();
    for (let x = -plot.height; x < plot.width; x += 9) {
      pen.moveTo(plot.left + x, plot.top + plot.height); pen.lineTo(plot.left + x + plot.height, plot.top);
    }
    pen.stroke(); pen.restore();
  }

  image(width, height) {
    const { view, picture, colours } = this;
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const edges = Array.from({ length: width + 1 }, (_, x) => Math.floor(view.t0 + ((view.t1 - view.t0) * x) / width));
    let last = -1;
    for (let y = 0; y < height; y++) {
      const row = Math.min(view.rows - 1, Math.floor(view.r0 + ((view.r1 - view.r0) * (y + 0.5)) / height));
      if (row === last) { pixels.copyWithin(y * width, (y - 1) * width, y * width); continue; }
      last = row;
      const base = row * picture.columns;
      for (let x = 0; x < width; x++) {
        let code = 255;
        const end = Math.min(picture.columns, Math.max(edges[x] + 1, edges[x + 1]));
        for (let column = edges[x]; column < end; column++) {
          const found = picture.rates[base + column];
          if (found !== 255 && (code === 255 || found > code)) code = found;
        }
        pixels[y * width + x] = colours[code];
      }
    }
    return image;
  }

  // Names beside the bands, where there is room: processes first, then the tallest bands.
  drawLabels(pen, plot) {
    const { view, picture } = this;
    const yOf = (row) => plot.top + clamp((row - view.r0) / (view.r1 - view.r0), 0, 1) * plot.height;
    const wanted = [];
    pen.lineWidth = 1;
    for (let at = 0, end = 0; at < picture.rows.length; at = end) {
      for (end = at + 1; end < picture.rows.length && !picture.rows[end].first; end++);
      const [row, top, bottom] = [picture.rows[at], yOf(at), yOf(end)];
      if (bottom <= top) continue;
      const heads = this.many && (at === 0 || picture.rows[at - 1].target !== row.target);
      pen.strokeStyle = styleOf(heads ? "--soft" : "--line");
      pen.beginPath(); pen.moveTo(heads ? 0 : plot.left - 8, top); pen.lineTo(plot.left, top); pen.stroke();
      if (heads) wanted.push({ text: this.labelOf.get(row.target) ?? "", y: top + 7, weight: Infinity, bold: "bold " });
      wanted.push({ text: row.label, y: Math.max(top + (heads ? 20 : 7), Math.min(top + 7, (top + bottom) / 2)), weight: bottom - top, bold: "" });
    }
    pen.textBaseline = "middle"; pen.textAlign = "right";
    const taken = [];
    for (const { text, y, bold } of wanted.sort((a, b) => b.weight - a.weight)) {
      if (y > plot.top + plot.height + 1 || taken.some((other) => Math.abs(other - y) < 12.5)) continue;
      taken.push(y);
      pen.fillStyle = styleOf(bold ? "--ink" : "--soft");
      pen.font = `${bold}12px system-ui, 'DejaVu Sans', sans-serif`;
      pen.fillText(cut(pen, text, plot.left - 14), plot.left - 10, y);
    }
    pen.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  }

  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const { plot, view } = this;
    const x = (event.clientX - box.left - plot.left) / plot.width;
    const y = (event.clientY - box.top - plot.top) / plot.height;
    const inside = x >= 0 && x < 1 && y >= 0 && y < 1;
    const [column, row] = [view.t0 + (view.t1 - view.t0) * clamp(x, 0, 1), view.r0 + (view.r1 - view.r0) * clamp(y, 0, 1)];
    return { inside, column, row };
  }

  // What there is to say of a cell, a line each.
  words({ column, row }) {
    const { picture } = this;
    const line = picture.rows[row];
    const at = row * picture.columns + column;
    const code = picture.rates[at];
    const most = line.upper_bound ? "at most " : "";  // what others did may be in it
    const rate = code === 255 ? "no memory here, or not watched then"
      : code === 0 ? "not accessed" : this.rateWord === "share" ? `${most}${share((code - 1) / 253)} of what is resident touched`
      : `accessed in ${share((code - 1) / 253)} of ticks`;
    const age = code === 255 ? [] : [`age ${picture.ages[at] === 0 ? "0 s" : time(2 ** ((picture.ages[at] - 1) / 8) / 1000)}`];
    const who = this.many ? [this.labelOf.get(line.target)] : [];
    return [
      `${moment(timeAt(picture, column), 0)} – ${moment(timeAt(picture, column + 1), 0)}`,
      ...who, line.label + (line.name.startsWith("/") ? ` (${line.name})` : ""),
      `${line.start}–${line.end}, ${size(line.bytes)}`, rate, ...age,
    ];
  }

  show(event) {
    const { view } = this;
    const words = view.cursor ? this.words(view.cursor) : [];
    find("readout").textContent = words.join(" · ");
    if (event && view.cursor) this.tip.show(words, event.clientX, event.clientY);
    else this.tip.hide();
    view.changed();
  }

  listen() {
    const { canvas, view } = this;
    let held = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      held = { x: event.clientX, y: event.clientY };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointerup", () => { held = null; canvas.classList.remove("dragging"); });
    canvas.addEventListener("pointermove", (event) => {
      if (held && !view.whole) {
        canvas.classList.add("dragging");
        view.pan(((held.x - event.clientX) / this.plot.width) * (view.t1 - view.t0),
          ((held.y - event.clientY) / this.plot.height) * (view.r1 - view.r0));
        held = { x: event.clientX, y: event.clientY };
      }
      const { inside, column, row } = this.cellAt(event);
      view.cursor = inside ? { column: Math.min(view.columns - 1, Math.floor(column)), row: Math.min(view.rows - 1, Math.floor(row)) } : null;
      this.show(event);
    });
    canvas.addEventListener("pointerleave", () => { view.cursor = null; this.show(); });
    canvas.addEventListener("dblclick", (event) => { const { column, row } = this.cellAt(event); view.zoom(2, column, row); this.show(event); });
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // a page must scroll
      event.preventDefault();
      const { column, row } = this.cellAt(event);
      view.zoom(event.deltaY < 0 ? 1.25 : 0.8, column, row, event.shiftKey);
      view.changed();
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const far = event.shiftKey ? 10 : 1;
      const act = {
        ArrowLeft: () => view.step(-far, 0), ArrowRight: () => view.step(far, 0),
        ArrowUp: () => view.step(0, -far), ArrowDown: () => view.step(0, far),
        Home: () => view.step(-view.columns, 0), End: () => view.step(view.columns, 0),
        "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), "0": () => view.all(),
        "]": () => this.zoom(1.5, true), "[": () => this.zoom(1 / 1.5, true), Escape: () => { view.cursor = null; },
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
      this.show();
    });
    find("zoom-in").addEventListener("click", () => { this.zoom(1.5); view.changed(); });
    find("zoom-out").addEventListener("click", () => { this.zoom(1 / 1.5); view.changed(); });
    find("zoom-reset").addEventListener("click", () => { view.all(); view.changed(); });
  }

  // About the cursor, or the middle of what is shown.
  zoom(factor, timeAlone = false) {
    const { view } = this;
    const column = view.cursor ? view.cursor.column + 0.5 : (view.t0 + view.t1) / 2;
    const row = view.cursor ? view.cursor.row + 0.5 : (view.r0 + view.r1) / 2;
    view.zoom(factor, column, row, timeAlone);
  }

  // The rows [first, end) that are mostly of this mapping, where it lies; null for none.
  rowsOf({ target, name, start, end }) {
    const [low, high] = [BigInt(`0x${start}`), BigInt(`0x${end}`)];
    const found = this.picture.rows.flatMap((row, at) => (row.target === target && row.name === name
      && BigInt(`0x${row.start}`) < high && BigInt(`0x${row.end}`) > low ? [at] : []));
    return found.length ? [found[0], found[found.length - 1] + 1] : null;
  }

  // Show those rows alone, with the cursor on the first.
  focus(mapping) {
    const [first, end] = this.rowsOf(mapping);
    const room = Math.max(1, (end - first) * 0.15);
    Object.assign(this.view, { r0: clamp(first - room, 0, this.view.rows), r1: clamp(end + room, 0, this.view.rows), cursor: { column: Math.floor((this.view.t0 + this.view.t1) / 2), row: first } });
    this.show();
    this.canvas.scrollIntoView({ block: "center" });
    this.canvas.focus();
  }
}

const cut = (pen, text, width) => {
  if (pen.measureText(text).width <= width) return text;
  let kept = text;
  while (kept.length > 1 && pen.measureText(`${kept}…`).width > width) kept = kept.slice(0, -1);
  return `${kept}…`;
};
