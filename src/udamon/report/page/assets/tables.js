// Bars and tables: real tables, so that they can be read aloud, searched and copied.
const bars = (place, rows, keys) => {
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
  if (keys) {
    const words = element("p");
    for (const [kind, text] of [["hot", "accessed"], ["idle", "not accessed"]]) {
      const key = element("span", text, { class: "key" });
      key.prepend(element("i", null, { class: kind }));
      words.append(key);
    }
    place.append(words);
  }
  place.append(table);
};

class Mappings {
  constructor(table, data, heat) {
    Object.assign(this, { table, heat, rows: data.mappings, by: "touched", down: true });
    this.labels = new Map(data.targets.map((one) => [one.target, one.label]));
    this.columns = [
      ["name", "mapping", (row) => row.label.toLowerCase(), (row) => this.name(row), "text"],
      ["kind", "kind", (row) => row.kind, (row) => element("td", row.kind, { class: "text kind" }), "text"],
      ...(data.targets.length > 1 ? [["target", "process", (row) => row.target, (row) => element("td", this.labels.get(row.target), { class: "text" }), "text"]] : []),
      ["size", "size", (row) => row.size, (row) => element("td", size(row.size))],
      ["resident", "resident", (row) => row.resident, (row) => element("td", size(row.resident))],
      ["touched", "touched in a window", (row) => row.touched, (row) => this.touched(row)],
      ["rate", "access rate", (row) => row.rate, (row) => element("td", share(row.rate))],
      ["last", "last accessed at", (row) => row.last ?? -1, (row) => element("td", row.last === null ? "never" : time(row.last))],
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

  touched(row) {
    const cell = element("td", size(row.touched));
    const meter = element("span", null, { class: "meter", "aria-hidden": "true" });
    const part = element("span");
    part.style.width = `${Math.min(100, (100 * row.touched) / Math.max(1, row.resident || row.size))}%`;
    meter.append(part);
    cell.append(meter);
    return cell;
  }

  draw() {
    const wanted = find("filter").value.trim().toLowerCase();
    const text = (row) => `${row.name} ${row.label} ${row.kind} ${this.labels.get(row.target) ?? ""}`.toLowerCase();
    const key = this.columns.find(([id]) => id === this.by)[2];
    const shown = this.rows.filter((row) => text(row).includes(wanted))
      .sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) * (this.down ? -1 : 1));
    const body = element("tbody");
    for (const row of shown) {
      const line = element("tr");
      line.append(...this.columns.map(([, , , cell]) => cell(row)));
      body.append(line);
    }
    this.table.replaceChildren(this.head(), body);
    return shown.length;
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

const plainTable = (table, heads, rows) => {
  const head = element("tr");
  head.append(...heads.map((text) => element("th", text, { scope: "col", class: "text" })));
  table.append(head);
  for (const row of rows) {
    const line = element("tr");
    line.append(...row.map((text) => element("td", text, { class: "text" })));
    table.append(line);
  }
};
