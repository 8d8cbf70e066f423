// Scales whose lightness grows (dark) or falls (light) all the way: they read in order for colour-blind people.
const SCALES = {
  dark: ["#181230", "#420a68", "#781c6d", "#ac2e58", "#d64c32", "#f07d16", "#fabe3c", "#fcffa4"],
  light: ["#faf6ea", "#f9dc8a", "#f7ae4b", "#ec7434", "#cc4258", "#932667", "#56106e", "#1b0c41"],
};
const dark = matchMedia("(prefers-color-scheme: dark)");
const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const hexOf = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));

// Colour of each code 0..254 as one little-endian pixel; 255 (no memory) is transparent.
const palette = () => {
  const stops = SCALES[dark.matches ? "dark" : "light"].map(hexOf);
  const pixels = new Uint32Array(256);
  for (let code = 0; code < 255; code++) {
    const place = (code / 254) * (stops.length - 1);
    const low = Math.min(Math.floor(place), stops.length - 2);
    const [r, g, b] = [0, 1, 2].map((c) => Math.round(stops[low][c] + (stops[low + 1][c] - stops[low][c]) * (place - low)));
    pixels[code] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
  return pixels;
};

// A canvas as large as it is shown, in the screen's own pixels.
const fit = (canvas) => {
  const ratio = window.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  return { pen, ratio, width, height };
};
