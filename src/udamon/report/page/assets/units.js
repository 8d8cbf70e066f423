// How people read sizes, times and shares; and elements that hold text, never markup.
const size = (bytes) => {
  for (const [unit, factor] of [["TiB", 2 ** 40], ["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (bytes >= factor) return `${(bytes / factor).toFixed(1)} ${unit}`;
  }
  return `${Math.round(bytes)} B`;
};

const time = (seconds) => {
  if (seconds <= 0) return "0 s";
  if (seconds < 1) return `${+(seconds * 1000).toPrecision(3)} ms`;
  if (seconds < 60) return `${+seconds.toPrecision(3)} s`;
  const minutes = Math.floor(seconds / 60);
  const [first, second] = minutes < 60 ? [`${minutes} m`, `${Math.floor(seconds % 60)} s`]
    : [`${Math.floor(minutes / 60)} h`, `${minutes % 60} m`];
  return second.startsWith("0 ") ? first : `${first} ${second}`;
};

// Moments: since the start of the recording, or by the clock on the wall where the recording tells of it.
const clock = { start: null, on: false };

const moment = (seconds, step = 1) => {
  if (!clock.on) return time(seconds);
  const at = new Date((clock.start + seconds) * 1000);
  const two = (number) => String(number).padStart(2, "0");
  const whole = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return step < 1 ? `${whole}.${String(at.getMilliseconds()).padStart(3, "0")}` : whole;
};

const dayOf = (seconds) => new Date((clock.start + seconds) * 1000).toLocaleDateString("en-CA");

const share = (part) => `${+(part * 100).toPrecision(3)} %`;

const element = (name, text, more = {}) => {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(more)) made.setAttribute(key, value);
  return made;
};

const find = (id) => document.getElementById(id);

// Steps of an axis: powers of two for bytes, 1, 2 and 5 times powers of ten for times, or what clocks have.
const sizeStep = (span, count) => 2 ** Math.ceil(Math.log2(span / count));

const niceStep = (least) => {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((one) => one * power >= least * 0.999999);
};

const timeStep = (span, count) => {
  const least = span / count;
  return [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400]
    .find((step) => step >= least && least > 0.5) ?? niceStep(least);
};
