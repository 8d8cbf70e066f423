// Unpacks the data and puts the page together.
const unpack = async (text) => {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

class Tip {
  constructor(box) { this.box = box; }

  show(lines, x, y) {
    this.box.replaceChildren(...lines.map((line) => element("div", line)));
    this.box.hidden = false;
    const { width, height } = this.box.getBoundingClientRect();
    this.box.style.left = `${Math.max(4, x + 16 + width > innerWidth ? x - width - 16 : x + 16)}px`;
    this.box.style.top = `${Math.max(4, y + 16 + height > innerHeight ? y - height - 16 : y + 16)}px`;
  }

  hide() { this.box.hidden = true; }
}

const told = (bytes) => bytes === null ? "–" : size(bytes);  // a percentile of too few windows is not
const fewest = (data, level) => data.few !== null && amount(data, level) === "–" ? `– (${data.snapshots} of ${data.fewest} windows)` : amount(data, level);
const amount = (data, level) => {
  const { low, high } = data.bounds ?? { low: data.working_set, high: data.working_set };
  if (high[level] === null || size(low[level]) === size(high[level])) return told(high[level]);
  const between = `${size(low[level])} to ${size(high[level])}`;
  return data.estimate ? `${size(data.working_set[level])} (${between})` : between;
};

const tiles = (data) => {
  const known = data.curve.resident.filter((one) => one !== null);
  const resident = known.length ? known.reduce((sum, one) => sum + one, 0) / known.length : null;
  const cost = data.monitor;
  return [
    ["working set, median", fewest(data, "p50")], ["working set, p90", fewest(data, "p90")], ["working set, most", amount(data, "max")],
    ...(resident === null ? [] : [["resident, mean", size(resident)]]),
    ["recorded", `${time(data.picture.end - data.picture.begin)}`], ["windows", data.snapshots.toLocaleString("en")],
    ...(cost.share === null ? [] : [["monitor, of one CPU", share(cost.share)]]),
  ];
};

const legend = (canvas) => {
  const { pen, width, height } = fit(canvas);
  const stops = SCALES[dark.matches ? "dark" : "light"];
  const fill = pen.createLinearGradient(0, 0, width, 0);
  stops.forEach((stop, at) => fill.addColorStop(at / (stops.length - 1), stop));
  pen.fillStyle = fill;
  pen.fillRect(0, 0, width, height);
};

// From when to when it was recorded, by the clock of whoever looks.
const spoken = (begin, end) => {
  clock.on = true;
  const words = `Recorded on ${dayOf(begin)} from ${moment(begin)} to ${moment(end)} (time zone of this browser).`;
  clock.on = false;
  return words;
};

const start = async () => {
  const data = JSON.parse(find("data").textContent);
  clock.start = data.wall;
  const { picture } = data;
  [picture.rates, picture.ages] = await Promise.all([unpack(picture.rates), unpack(picture.ages)]);
  const tip = new Tip(find("tip"));
  const view = new View(picture.columns, picture.rows.length);
  const heat = new Heat(find("heat"), picture, data.targets, view, tip, data.rate_word);
  new Curve(find("curve"), picture, data.curve, view, tip);

  find("command").textContent = data.targets.length === 1 ? data.targets[0].command : "";
  find("notes").textContent = [
    ...data.notes,
    data.group ? "Pages that several mappings have count once: totals lie between two bounds." : "",
    data.targets.length > 1 ? "The heatmap and memory by rate and by age are sums over processes: memory that they share counts in each." : "",
    data.filtered ? "Filters were given: this is not all that was recorded." : "",
  ].filter(Boolean).join(" ");
  find("rate-of").textContent = `100 % of ${data.rate_of}`;
  for (const [name, value] of tiles(data)) {
    const tile = element("div");
    tile.append(element("dt", name), element("dd", value));
    find("tiles").append(tile);
  }
  find("curve-legend").append(legendOf([
    ["line hot", data.estimate ? "mean of a column, an estimate" : data.bounds === null ? "mean of a column" : "mean of a column, upper bound"],
    ["band", data.estimate ? "between the bounds" : "least to most"],
    ...(data.curve.resident.some((one) => one !== null) ? [["line second dashed", "resident"]] : []),
  ]));
  find("curve-words").textContent = data.few !== null ? `Over all windows: least ${amount(data, "min")}, most ${amount(data, "max")}; ${data.few}.`
    : `Over all windows: least ${amount(data, "min")}, median ${amount(data, "p50")}, 90 % at most ${amount(data, "p90")}, most ${amount(data, "max")}.`;
  if (data.rate_word === "share") find("rate-title").textContent = "Memory by share touched in a window";
  answers(data);
  ages(data);
  const sites = drawSites(data, tip);
  phases(find("phases"), data);
  bars(find("rate"), data.histograms.rate);
  bars(find("age"), data.histograms.age);
  const mappings = new Mappings(find("mappings"), data, heat);
  find("mappings-words").textContent = data.mappings.length === 0 ? "The recording tells of no mappings."
    : "Bytes are means over time; a name shows its rows in the heatmap." + (data.mappings_left_out ? ` ${data.mappings_left_out} more touched less and are left out.` : "");
  find("processes-section").hidden = data.targets.length < 2;
  const drawProcesses = () => plainTable(find("processes"), ["process", "user", "watched from", "to", "end", "command"], data.targets.map((one) => [
    one.label, one.user ?? "–", one.begin === null ? "–" : moment(one.begin), one.end === null ? "–" : moment(one.end), one.ended ?? "–", one.command,
  ]));
  drawProcesses();
  for (const [word, text] of data.facts) {
    const line = element("tr");
    line.append(element("th", word, { scope: "row" }), element("td", text));
    find("facts").append(line);
  }

  find("clock-label").hidden = data.wall === null;
  find("recorded").textContent = data.wall === null ? "" : spoken(data.picture.begin, data.picture.end);
  find("clock").addEventListener("change", () => {
    clock.on = find("clock").checked;
    mappings.draw();
    sites?.draw();
    phases(find("phases"), data);
    drawProcesses();
    view.changed();
  });

  const redraw = () => { document.querySelectorAll(".scale").forEach(legend); view.changed(); };
  addEventListener("resize", redraw);
  dark.addEventListener("change", redraw);
  redraw();
  if (data.opens_at !== null) find(data.opens_at).scrollIntoView();
  document.documentElement.dataset.ready = "yes";
};

start();
