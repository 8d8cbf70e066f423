// The page of two recordings: levels, curves over the same axes, and what moved between them.
const signed = (bytes) => (bytes === 0 ? "0 B" : `${bytes > 0 ? "+" : "−"}${size(Math.abs(bytes))}`);

const SIDES = [["before", "--accent", "hot", []], ["after", "--second", "second", [6, 4]]];

class Curves {
  constructor(canvas, sides) {
    Object.assign(this, { canvas, sides });
    this.length = Math.max(...sides.map((side) => side.seconds), 1e-9);
    this.most = Math.max(1, ...sides.flatMap((side) => side.curve.map(([, , high]) => high)));
  }

  draw() {
    const { pen, width, height } = fit(this.canvas);
    const plot = plotOf(width, height);
    const x = (seconds) => plot.left + (seconds / this.length) * plot.width;
    const y = (bytes) => plot.top + plot.height * (1 - bytes / (this.most * 1.05));
    drawSizes(pen, plot, this.most, y);
    drawTimes(pen, plot, { begin: 0, end: this.length, columns: 1 }, { t0: 0, t1: 1 });
    this.sides.forEach((side, at) => {
      const [, colour, , dash] = SIDES[at];
      drawLine(pen, side.curve.map(([seconds, , high]) => [x(seconds), y(high)]), colour, dash);
    });
  }
}

const movedTable = (table, rows) => {
  const most = Math.max(1, ...rows.map((row) => Math.abs(row.after - row.before)));
  const head = element("tr");
  head.append(...["mapping", "kind", "before", "after", "change"].map((text, at) => element("th", text, { scope: "col", class: at < 2 ? "text" : "" })));
  const wanted = find("filter").value.trim().toLowerCase();
  const lines = rows.filter((row) => `${row.label} ${row.kind}`.toLowerCase().includes(wanted)).map((row) => {
    const change = element("td", signed(row.after - row.before));
    const meter = element("span", null, { class: "meter", "aria-hidden": "true" });
    const part = element("span");
    part.style.width = `${(100 * Math.abs(row.after - row.before)) / most}%`;
    meter.append(part);
    change.append(meter);
    const line = element("tr");
    line.append(element("td", row.label, { class: "text" }), element("td", row.kind, { class: "text kind" }), ...["before", "after"].map((side, at) => element("td", `${(row.upper_bounds[at] || row.shared[at]) && row[side] ? "≤" : ""}${size(row[side])}`)), change);
    return line;
  });
  table.replaceChildren(head, ...lines);
};

const start = () => {
  const data = JSON.parse(find("data").textContent);
  find("notes").textContent = data.notes.join(" ");
  for (const [at, side] of data.sides.entries()) {
    const line = element("tr");
    line.append(element("th", SIDES[at][0], { scope: "row" }), element("td", [side.title, side.file, `${time(side.seconds)}, ${side.windows} windows`, side.recorded].filter(Boolean).join(" · ")));
    find("sides").append(line);
  }
  const keys = SIDES.map(([name, , kind]) => [kind, name]);
  find("levels").append(legendOf([...keys, ["hot perhaps", "between at least and at most"]]), boundBars(data.levels.flatMap((one) => [[`${one.name}, before`, one.before, "hot"], [`${one.name}, after`, one.after, "second"]])));
  find("curve-legend").append(legendOf([["line hot", "before"], ["line second dashed", "after"]]));
  find("filter").addEventListener("input", () => movedTable(find("moved"), data.moved));
  movedTable(find("moved"), data.moved);
  find("moved-words").textContent = `Means over time; mappings of one name and kind are one line.${data.moved.some((row) => row.upper_bounds.some(Boolean)) ? " ≤ at most: what other processes did to files and shared memory counts, too." : ""}${data.moved.some((row) => row.shared.some(Boolean)) ? " ≤ also: a page that several of the processes have may count once for each." : ""}${data.moved_left_out ? ` ${data.moved_left_out} more changed less and are left out.` : ""}`;
  const curves = new Curves(find("curve"), data.sides);
  const redraw = () => curves.draw();
  addEventListener("resize", redraw);
  dark.addEventListener("change", redraw);
  redraw();
  document.documentElement.dataset.ready = "yes";
};

start();
