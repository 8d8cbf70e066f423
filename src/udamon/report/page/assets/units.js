// How people read sizes, times and shares; and elements that hold text, never markup.
// What rounds to 1024 (1000, 60) of a unit is 1 of the next.
const size = (bytes) => {
  if (Math.abs(Math.round(bytes)) < 1024) return `${Math.round(bytes)} B`;
  for (const [power, unit] of ["KiB", "MiB", "GiB", "TiB", "PiB"].entries()) {
    const number = (bytes / 1024 ** (power + 1)).toFixed(1);
    if (Math.abs(number) < 1024) return `${number} ${unit}`;
  }
  return `${(bytes / 1024 ** 6).toFixed(1)} EiB`;
};

const time = (seconds) => {
  if (seconds <= 0) return "0 s";
  for (const [factor, unit, most] of [[1000, "ms", 1000], [1, "s", 60]]) {
    const number = +(seconds * factor).toPrecision(3);
    if (number < most) return `${number} ${unit}`;
  }
  const whole = Math.round(seconds), minutes = Math.floor(whole / 60);
  const [first, second] = minutes < 60 ? [`${minutes} m`, `${whole % 60} s`]
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
