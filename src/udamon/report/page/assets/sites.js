// Whose memory it is: a flame graph of the code that allocated, bytes wide and coloured by heat, and a table of sites.
const heatOf = (node) => (node.resident ? Math.min(1, node.touched / node.resident) : 0);

const treeOf = (data) => {
  const node = (name, up) => ({ name, up, bytes: 0, resident: 0, touched: 0, cold: 0, below: new Map() });
  const root = node("all", null);
  for (const site of data.sites) {
    let at = root;
    for (const call of [null, ...site.calls]) {
      if (call !== null) {
        if (!at.below.has(call)) at.below.set(call, node(data.names[call], at));
        at = at.below.get(call);
      }
      at.bytes += site.bytes; at.resident += site.resident; at.touched += site.touched; at.cold += site.cold;
    }
    site.node = at;
  }
  return root;
};

const NARROWEST = 0.0015, FLAME_ROW = 20;

class Flame {
  constructor(place, data, tip) {
    Object.assign(this, { place, tip, root: treeOf(data) });
    this.focus = this.root;
    find("flame-all").addEventListener("click", () => this.show(this.root));
    dark.addEventListener("change", () => this.draw());
    place.addEventListener("pointerleave", () => tip.hide());
  }

  show(node) { this.focus = node; this.draw(); }

  draw() {
    this.colours = palette();
    this.place.replaceChildren();
    const path = [];
    for (let node = this.focus.up; node; node = node.up) path.unshift(node);
    path.forEach((node, depth) => this.box(node, depth, 0, 1, true));
    const waiting = [[this.focus, path.length, 0, 1]];
    let deepest = 0;
    while (waiting.length) {
      const [node, depth, left, width] = waiting.pop();
      this.box(node, depth, left, width, false);
      deepest = Math.max(deepest, depth);
      let x = left;
      for (const below of [...node.below.values()].sort((a, b) => b.bytes - a.bytes)) {
        const part = (width * below.bytes) / (node.bytes || 1);
        if (part >= NARROWEST) waiting.push([below, depth + 1, x, part]);
        x += part;
      }
    }
    this.place.style.height = `${(deepest + 1) * FLAME_ROW}px`;
    find("flame-all").disabled = this.focus === this.root;
  }

  box(node, depth, left, width, above) {
    const pixel = this.colours[Math.round(heatOf(node) * 254)];
    const [r, g, b] = [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
    const made = element("div", width > 0.02 ? node.name : "", { class: above ? "above" : "" });
    made.style.left = `${100 * left}%`;
    made.style.width = `${100 * width}%`;
    made.style.top = `${depth * FLAME_ROW}px`;
    made.style.background = `rgb(${r} ${g} ${b})`;
    made.style.color = 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#1d1d24" : "#ffffff";
    made.addEventListener("click", () => { this.tip.hide(); this.show(node); });
    made.addEventListener("pointermove", (event) => this.tip.show(
      [node.name, `${size(node.bytes)}, ${share(node.bytes / (this.root.bytes || 1))} of what is shown`, `resident ${size(node.resident)}, touched at most ${size(node.touched)}, cold at least ${size(node.cold)}`],
      event.clientX, event.clientY));
    this.place.append(made);
  }
}

class SiteTable extends SortedTable {
  constructor(table, data, end, flame) {
    super(table, "bytes");
    Object.assign(this, { data, end, flame });
    this.columns = [
      ["name", "site", (row) => this.nameOf(row).toLowerCase(), (row) => this.name(row), "text"],
      ["bytes", "bytes", (row) => row.bytes, (row) => element("td", size(row.bytes))],
      ["interval", "95 %", (row) => row.low, (row) => element("td", between(row))],
      ["resident", "resident", (row) => row.resident, (row) => element("td", size(row.resident))],
      ["touched", "touched, at most", (row) => row.touched, (row) => meterCell(row.touched, row.resident)],
      ["cold", "cold, at least", (row) => row.cold, (row) => element("td", size(row.cold))],
      ["age", "last touched", (row) => row.age, (row) => element("td", this.last(row))],
    ];
    this.draw();
  }

  nameOf(row) { return this.data.names[row.calls[row.own]]; }

  last(row) { return row.accessed ? `${moment(this.end - row.age)} (${time(row.age)} before the end)` : `not in ${time(row.age)}`; }

  name(row) {
    const stack = row.calls.map((call) => this.data.names[call]).reverse().join("\n");
    const cell = element("td", null, { class: "text wrapped" });
    const button = element("button", this.nameOf(row), { class: "name", type: "button", title: `${stack}\n(show it in the flame graph)` });
    button.addEventListener("click", () => this.flame.show(row.node));
    const callers = row.calls.slice(0, row.own).slice(-2).reverse().map((call) => ` < ${this.data.names[call]}`).join("");
    cell.append(button, element("span", (row.place === null ? "" : ` ${row.place.split("/").pop()}`) + callers, { class: "kind", title: row.place ?? "" }));
    return cell;
  }

  draw() {
    const body = element("tbody");
    for (const row of this.sorted(this.data.sites)) {
      const line = element("tr");
      line.append(...this.columns.map(([, , , cell]) => cell(row)));
      body.append(line);
    }
    this.table.replaceChildren(this.head(), body);
  }
}

// The section of sites; its table, or null where there is none.
const drawSites = (data, tip) => {
  const found = data.sites;
  find("sites-section").hidden = found === null;
  if (found === null) return null;
  const more = found.left_out ? [`${found.left_out} more sites of ${size(found.left_out_bytes)} are left out.`] : [];
  const about = found.why === null ? [`Bytes that were alive at the end, by estimate. Cold was not touched in the last ${time(found.idle_seconds)}, or since it was allocated.`] : [`${found.why}.`];
  find("sites-words").textContent = [...about, ...more, ...found.notes].join(" ");
  find("sites-shown").hidden = found.sites.length === 0;
  if (!found.sites.length) return null;
  const flame = new Flame(find("flame"), found, tip);
  const table = new SiteTable(find("sites"), found, data.picture.end, flame);
  flame.draw();
  return table;
};
