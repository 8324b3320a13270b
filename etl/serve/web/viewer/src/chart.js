// The mean NDVI of every frame along time; the frame shown is marked, and a click chooses another.

const HUES = ["#2f7fd0", "#d2691e", "#7a4fc0", "#12908e"];
const MARGIN = { left: 34, right: 10, top: 8, bottom: 20 };

export class Chart {
  #canvas;
  #frames = [];
  #satellites = [];
  #shown = null;
  #coming = 0;

  /** @param onChoose called with the frame that was clicked */
  constructor(canvas, onChoose) {
    this.#canvas = canvas;
    canvas.addEventListener("click", (event) => {
      const found = this.#nearest(event.offsetX, event.offsetY);
      if (found) onChoose(found);
    });
    new ResizeObserver(() => this.#drawSoon()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#drawSoon());
  }

  show(frames, satellites, shown) {
    this.#frames = frames;
    this.#satellites = satellites;
    this.#shown = shown;
    const means = frames.map((frame) => frame.mean).filter(Number.isFinite);
    const [low, high] = bounds(means);
    this.#canvas.ariaLabel = means.length
      ? `Mean NDVI of ${frames.length} frames, from ${low.toFixed(2)} to ${high.toFixed(2)}`
      : "No frame has data";
    this.#drawSoon();
  }

  static hue(satellites, name) {
    return HUES[satellites.indexOf(name) % HUES.length];
  }

  #scales() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const [first, last] = [this.#frames[0].time, this.#frames.at(-1).time].map(Number);
    const top = Math.max(0.3, bounds(this.#frames.map((frame) => frame.mean).filter(Number.isFinite))[1]) * 1.05;
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    return {
      top,
      x: (time) => MARGIN.left + (last > first ? (time - first) / (last - first) : 0.5) * inner.width,
      y: (ndvi) => MARGIN.top + (1 - ndvi / top) * inner.height,
    };
  }

  #nearest(left, top) {
    if (!this.#frames.length) return null;
    const { x, y } = this.#scales();
    // Across counts for more than up and down: one aims at a date.
    const distance = ({ time, mean }) => Math.hypot(3 * (x(time) - left), y(Number.isFinite(mean) ? mean : 0) - top);
    return this.#frames.reduce((best, frame) => (distance(frame) < distance(best) ? frame : best));
  }

  /** Once for all that changes before the next picture. */
  #drawSoon() {
    cancelAnimationFrame(this.#coming);
    this.#coming = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    const canvas = this.#canvas;
    const ratio = devicePixelRatio;
    const { clientWidth: width, clientHeight: height } = canvas;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    if (!this.#frames.length || !width) return;
    const context = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    const { top, x, y } = this.#scales();
    context.scale(ratio, ratio);
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = style.color;
    context.strokeStyle = style.borderColor;
    for (let ndvi = 0; ndvi <= top; ndvi += 0.2) {
      line(context, MARGIN.left, y(ndvi), width - MARGIN.right, y(ndvi));
      context.fillText(ndvi.toFixed(1), 8, y(ndvi) + 4);
    }
    context.textAlign = "center";
    for (const { time, label } of ticks(this.#frames[0].time, this.#frames.at(-1).time, width / 90)) {
      line(context, x(time), height - MARGIN.bottom, x(time), height - MARGIN.bottom + 4);
      context.fillText(label, Math.min(Math.max(x(time), MARGIN.left), width - 30), height - 5);
    }
    if (this.#shown) {
      context.strokeStyle = style.color;
      line(context, x(this.#shown.time), MARGIN.top, x(this.#shown.time), height - MARGIN.bottom);
    }
    const most = Math.max(1e-9, bounds(this.#frames.map((frame) => frame.valid || 0))[1]);
    for (const frame of this.#frames) {
      if (!Number.isFinite(frame.mean)) continue;
      context.globalAlpha = 0.15 + (0.85 * frame.valid) / most;
      context.fillStyle = Chart.hue(this.#satellites, frame.satellite);
      context.beginPath();
      context.arc(x(frame.time), y(frame.mean), frame === this.#shown ? 5 : 2.5, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
  }
}

/** The least and the greatest number; spreading thousands of them would be too many arguments. */
function bounds(numbers) {
  return numbers.reduce(([low, high], each) => [Math.min(low, each), Math.max(high, each)], [Infinity, -Infinity]);
}

/** Beginnings of days, months or years between two times, about as many as asked for. */
function ticks(first, last, most) {
  const days = Math.max(1, (last - first) / 86_400_000);
  const step = (steps, count) => steps.find((each) => count / each <= most) ?? Math.ceil(count / most);
  const [years, months] = [days / 365.25, days / 30.4];
  let next, label;
  if (months <= 1.5) {
    const by = step([1, 2, 5, 10], days);
    next = (index) => Date.UTC(first.getUTCFullYear(), first.getUTCMonth(), first.getUTCDate() + index * by);
    label = (time) => time.toISOString().slice(0, 10);
  } else if (years <= 2) {
    const by = step([1, 2, 3, 6], months);
    next = (index) => Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + index * by);
    label = (time) => time.toISOString().slice(0, 7);
  } else {
    const by = step([1, 2, 5, 10], years);
    next = (index) => Date.UTC(first.getUTCFullYear() + index * by, 0);
    label = (time) => String(time.getUTCFullYear());
  }
  const found = [];
  for (let index = 0, time; (time = new Date(next(index))) <= last; index++) {
    if (time >= first) found.push({ time, label: label(time) });
  }
  return found.length ? found : [{ time: first, label: first.toISOString().slice(0, 10) }];
}

function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}
