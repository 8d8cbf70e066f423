// Bars and tables: real tables, so that they can be read aloud, searched and copied.
const bars = (place, rows) => {
  const most = Math.max(1, ...rows.map(([, idle, hot]) => idle + hot));
  const table = element("table", null, { class: "bars" });
  for (const [label, idle, hot] of rows) {
    const line = element("tr");
    line.append(element("th", label, { scope: "row" }));
    const fill = element("div", null, { class: "fill" });
    for (const [kind, bytes] of [["hot", hot], ["idle", idle]]) {
      const part = element("span", null, { class: kind });
      part.style.width = `${(100 * bytes) / most}%`;
      fill.append(part);
    }
    const cell = element("td", null, { class: "bar" });
    cell.append(fill);
    line.append(cell, element("td", idle + hot ? size(idle + hot) : "–"));
    table.append(line);
  }
  place.append(legendOf([["hot", "accessed"], ["idle", "not accessed"]]));
  place.append(table);
};

const FOLDED_FROM = 4;

// Bytes, and a bar of their share of `all`.
const meterCell = (bytes, all, sign = "") => {
  const cell = element("td", `${sign}${size(bytes)}`);
  const meter = element("span", null, { class: "meter", "aria-hidden": "true" });
  const part = element("span");
  part.style.width = `${Math.min(100, (100 * bytes) / Math.max(1, all))}%`;
  meter.append(part);
  cell.append(meter);
  return cell;
};

// A table whose headings sort; `columns` are [id, heading, key of a row, cell of a row, "text" or nothing].
class SortedTable {
  constructor(table, by) { Object.assign(this, { table, by, down: true }); }

  sorted(rows) {
    const key = this.columns.find(([id]) => id === this.by)[2];
    return rows.slice().sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) * (this.down ? -1 : 1));
  }

  head() {
    const line = element("tr");
    for (const [id, label, , , kind] of this.columns) {
      const sort = id === this.by ? (this.down ? "descending" : "ascending") : "none";
      const cell = element("th", null, { scope: "col", "aria-sort": sort, class: kind ?? "" });
      const button = element("button", label, { type: "button", "data-column": id });
      button.addEventListener("click", () => {
        this.down = id === this.by ? !this.down : kind !== "text";
        this.by = id;
        this.draw();
        this.table.querySelector(`[data-column="${id}"]`).focus();
      });
      cell.append(button);
      line.append(cell);
    }
    const head = element("thead");
    head.append(line);
    return head;
  }
}

// Others may have touched files and shared memory.
const atMost = (row) => row.upper_bound && row.touched >= 1 ? "≤" : "";

class Mappings extends SortedTable {
  constructor(table, data, heat) {
    super(table, "touched");
    Object.assign(this, { heat, rows: data.mappings, folded: new Set() });
    this.labels = new Map(data.targets.map((one) => [one.target, one.label]));
    this.several = data.targets.length > 1;
    // Of many processes the lines would fill screens: they unfold.
    if (data.targets.length > FOLDED_FROM) this.folded = new Set(this.rows.map((row) => row.target));
    this.columns = [
      ["name", "mapping", (row) => row.label.toLowerCase(), (row) => this.name(row), "text"],
      ["kind", "kind", (row) => row.kind, (row) => element("td", row.kind, { class: "text kind" }), "text"],
      ["size", "size", (row) => row.size, (row) => element("td", size(row.size))],
      ["resident", "resident", (row) => row.resident, (row) => element("td", size(row.resident))],
      ["touched", "touched in a window", (row) => row.touched, (row) => meterCell(row.touched, row.resident || row.size, atMost(row))],
      ["rate", data.rate_word === "share" ? "share touched" : "access rate", (row) => row.rate, (row) => element("td", `${atMost(row)}${share(row.rate)}`)],
      ["last", "last accessed at", (row) => row.last ?? -1, (row) => element("td", row.last === null ? "never" : moment(row.last))],
    ];
    find("filter").addEventListener("input", () => this.draw());
    this.draw();
  }

  name(row) {
    const offsets = row.offsets.map(([low, high]) => `${size(low)} – ${size(high)}`);
    const title = [row.name, `${row.start}–${row.end}`, ...(offsets.length ? [`accessed at offsets ${offsets.join(", ")}`] : [])].join("\n");
    const cell = element("td", null, { class: "text", title });
    if (this.heat.rowsOf(row)) {
      const button = element("button", row.label, { class: "name", type: "button", title: `${title}\n(show it in the heatmap)` });
      button.addEventListener("click", () => this.heat.focus(row));
      cell.append(button);
    } else {
      cell.textContent = row.label;
    }
    return cell;
  }

  draw() {
    const wanted = find("filter").value.trim().toLowerCase();
    const text = (row) => `${row.name} ${row.label} ${row.kind} ${this.labels.get(row.target) ?? ""}`.toLowerCase();
    const shown = this.sorted(this.rows.filter((row) => text(row).includes(wanted)));
    const body = element("tbody");
    const groups = new Map();
    for (const row of shown) groups.set(row.target, [...(groups.get(row.target) ?? []), row]);
    for (const [target, rows] of groups) {
      if (this.several) body.append(this.process(target, rows));
      if (this.several && this.folded.has(target) && !wanted) continue;
      for (const row of rows) {
        const line = element("tr");
        line.append(...this.columns.map(([, , , cell]) => cell(row)));
        body.append(line);
      }
    }
    this.table.replaceChildren(this.head(), body);
    return shown.length;
  }

  // A line for a process, with the sums of its mappings; a click folds these away, and shows them again.
  process(target, rows) {
    const sum = (key) => size(rows.reduce((total, row) => total + row[key], 0));
    const open = !this.folded.has(target);
    const button = element("button", `${open ? "▾" : "▸"} ${this.labels.get(target)} (${rows.length})`, { type: "button", class: "fold", "aria-expanded": open, "data-target": target });
    button.addEventListener("click", () => {
      if (open) this.folded.add(target); else this.folded.delete(target);
      this.draw();
      this.table.querySelector(`[data-target="${target}"]`).focus();
    });
    const name = element("th", null, { scope: "rowgroup", class: "text" });
    name.append(button);
    const line = element("tr", null, { class: "process" });
    line.append(name, ...this.columns.slice(1).map(([id]) => element("td", ["size", "resident", "touched"].includes(id) ? sum(id) : "")));
    return line;
  }
}

const plainTable = (table, heads, rows) => {
  const head = element("tr");
  head.append(...heads.map((text) => element("th", text, { scope: "col", class: "text" })));
  table.replaceChildren(head);
  for (const row of rows) {
    const line = element("tr");
    line.append(...row.map((text) => element("td", text, { class: "text" })));
    table.append(line);
  }
};
