// The page: a map of one frame, the dates, and the value at a place.
import "ol/ol.css";
import "./viewer.css";
import Map from "ol/Map.js";
import Overlay from "ol/Overlay.js";
import View from "ol/View.js";
import { openContinent } from "./archive.js";
import { coastlines, graticule } from "./base-map.js";
import { Chart } from "./chart.js";
import { Colours } from "./colours.js";
import { FrameLayer } from "./frame-layer.js";

/** With more chunks than that in view, one is asked before they are fetched. */
const MANY_CHUNKS = 64;
/** Chunks fetched at a time; those of a view that is left behind are not begun. */
const AT_ONCE = 8;

const element = (id) => document.getElementById(id);
const day = (time) => time.toISOString().slice(0, 10);
const query = new URLSearchParams(location.search);

class Viewer {
  constructor(continents, table) {
    this.table = table;
    this.layer = new FrameLayer(null);
    this.map = new Map({
      target: element("map"),
      layers: [this.layer, coastlines(), graticule()],
      view: new View({ projection: "EPSG:4326", center: [0, 0], zoom: 2 }),
    });
    const ring = Object.assign(document.createElement("div"), { className: "mark" });
    this.mark = new Overlay({ element: ring, positioning: "center-center", stopEvent: false });
    this.map.addOverlay(this.mark);
    this.chart = new Chart(element("chart"), (frame) => this.choose(frame));
    this.map.on("moveend", () => this.load());
    this.map.on("singleclick", (event) => this.tell(event.coordinate));
    element("map").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target === element("map")) this.tell(this.map.getView().getCenter());
    });
    element("slider").addEventListener("input", () => this.choose(this.frames[element("slider").valueAsNumber]));
    for (const [id, step] of [["previous", -1], ["next", 1]]) {
      element(id).addEventListener("click", () => this.step(step));
    }
    element("day").addEventListener("change", () => this.goTo(element("day").valueAsDate));
    element("hint").querySelector("button").addEventListener("click", () => {
      this.drawsAll = true;
      this.load();
    });
    const select = element("continent");
    select.append(...continents.map(({ folder, name }) => new Option(name, folder)));
    select.addEventListener("change", () => this.open(select.value).catch(refused));
    const asked = continents.find(({ folder }) => folder === query.get("continent"));
    select.value = (asked ?? continents[0]).folder;
  }

  async open(folder) {
    this.status("Loading …");
    this.continent = await openContinent(new URL(`../${folder}/ndvi.zarr`, location.href).href);
    this.drawsAll = false;
    this.place = null;
    this.mark.setPosition(undefined);
    this.shown = null;
    this.satellites = [...new Set(this.continent.frames.map((frame) => frame.satellite))].sort();
    this.layer.colours = new Colours(this.table, this.continent.scale);
    this.layer.colours.legend(element("legend"));
    this.layer.show(null, null);
    this.choices();
    const wanted = this.continent.frames.find((frame) => frame.time.toISOString() === query.get("time"));
    this.filter(wanted ?? newestGood(this.frames));
    this.map.getView().fit(this.continent.bbox, { padding: [24, 24, 24, 24] });
    this.status("Click the map, or press Enter on it, for a value.");
  }

  /** The buttons that choose satellites. */
  choices() {
    const all = ["", ...this.satellites];
    const asked = all.includes(query.get("satellite")) ? query.get("satellite") : "";
    element("satellites").replaceChildren(
      element("satellites").querySelector("legend"),
      ...all.map((name) => {
        const label = document.createElement("label");
        const input = Object.assign(document.createElement("input"), {
          type: "radio",
          name: "satellite",
          value: name,
          checked: name === asked,
        });
        input.addEventListener("change", () => this.filter(this.frame));
        label.append(input, name || "all");
        if (name) label.style.setProperty("--hue", Chart.hue(this.satellites, name));
        return label;
      }),
    );
  }

  get satellite() {
    return element("satellites").querySelector("input:checked")?.value ?? "";
  }

  get frames() {
    return this.continent.frames.filter((frame) => !this.satellite || frame.satellite === this.satellite);
  }

  /** Offer the chosen satellites' frames, and show the one nearest in time to a frame. */
  filter(near) {
    const distance = (frame) => Math.abs(frame.time - near.time);
    const frames = this.frames;
    element("slider").max = frames.length - 1;
    element("day").min = day(frames[0].time);
    element("day").max = day(frames.at(-1).time);
    this.choose(frames.includes(near) ? near : frames.reduce((a, b) => (distance(b) < distance(a) ? b : a)));
  }

  /** Show the frame nearest to the middle of a day; what is typed can be no date. */
  goTo(date) {
    if (date) this.filter({ time: new Date(+date + 12 * 3600 * 1000) });
  }

  step(count) {
    const frames = this.frames;
    const index = frames.indexOf(this.frame) + count;
    this.choose(frames[Math.min(frames.length - 1, Math.max(0, index))]);
  }

  choose(frame) {
    this.frame = frame;
    const slider = element("slider");
    slider.value = this.frames.indexOf(frame);
    const text = `${frame.time.toISOString().replace("T", " ").slice(0, 16)} UTC, ${frame.satellite}`;
    slider.ariaValueText = text;
    element("day").value = day(frame.time);
    element("date").textContent = Number.isFinite(frame.mean) ? text : `${text}, no data`;
    this.chart.show(this.frames, this.satellites, frame);
    this.remember();
    this.load();
  }

  /** Fetch what is in view of the chosen frame, then show it; the last one stays until then. */
  async load() {
    const { continent, frame } = this;
    if (!continent || !this.map.getSize()) return;
    const mapView = this.map.getView();
    const level = continent.levelFor(mapView.getResolution() / window.devicePixelRatio);
    const chunks = continent.chunksIn(mapView.calculateExtent(), level);
    const view = (this.view = { continent, frame, chunks });
    const tooMany = chunks.length > MANY_CHUNKS && !this.drawsAll;
    element("hint").hidden = !tooMany;
    element("map").ariaBusy = String(!tooMany);
    if (tooMany) {
      const whole = chunks.length * level.chunkRows * level.chunkColumns * 2;
      element("hint").querySelector("p").textContent =
        `Zoom in to see this date: ${chunks.length} chunks are in view, up to ${Math.round(whole / 1e6)} MB.`;
      return;
    }
    const waiting = [...chunks];
    const isNew = this.shown !== frame;
    const worker = async () => {
      while (waiting.length && this.view === view) {
        await continent.load(frame.index, waiting.shift());
        if (!isNew && this.view === view) this.layer.changed();
      }
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
    } catch (error) {
      if (this.view !== view) return;
      element("map").ariaBusy = "false";
      this.status(`This frame cannot be read: ${error.message}`);
      return;
    }
    if (this.view !== view) return;
    continent.trim(chunks.length);
    this.shown = frame;
    this.layer.show(continent, frame.index);
    this.map.once("rendercomplete", () => {
      if (this.view !== view) return;
      element("map").dataset.frame = frame.index;
      element("map").dataset.level = level.factor;
      element("map").ariaBusy = "false";
    });
    if (isNew && this.place) this.tell(this.place);
  }

  /** Tell the value at a place of the chosen frame. */
  async tell(place) {
    this.place = place;
    const { continent, frame } = this;
    let found;
    try {
      found = await continent.valueAt(frame.index, place);
    } catch (error) {
      return this.status(`This frame cannot be read: ${error.message}`);
    }
    if (this.place !== place || this.frame !== frame) return;
    this.mark.setPosition(found?.middle);
    if (!found) return this.status("Outside the grid.");
    const [longitude, latitude] = found.middle;
    const where = `${degrees(latitude, "N", "S")}, ${degrees(longitude, "E", "W")}`;
    const when = `${day(frame.time)}, ${frame.satellite}`;
    let value = "no data";
    if (found.stored !== continent.fill) {
      value = `NDVI ${(found.stored * continent.scale).toFixed(4).replace("-", "−")}`;
      if (found.stored < this.table.shown_from) value += " (below 0.05: commonly no data)";
    }
    this.status(`${value} at ${where} on ${when}`);
  }

  status(text) {
    element("value").textContent = text;
  }

  /** The address of the page leads to what it shows; browsers refuse to change it too often. */
  remember() {
    clearTimeout(this.remembering);
    this.remembering = setTimeout(() => this.address(), 300);
  }

  address() {
    query.set("continent", element("continent").value);
    query.set("time", this.frame.time.toISOString());
    if (this.satellite) query.set("satellite", this.satellite);
    else query.delete("satellite");
    history.replaceState(null, "", `?${query}`);
  }
}

/** The newest of the last frames that shows much of what any of them does. */
function newestGood(frames) {
  const recent = frames.slice(-30);
  const most = recent.reduce((best, frame) => Math.max(best, frame.valid || 0), 0);
  return recent.findLast((frame) => (frame.valid || 0) >= most / 2) ?? frames.at(-1);
}

function degrees(value, positive, negative) {
  return `${Math.abs(value).toFixed(4)}° ${value < 0 ? negative : positive}`;
}

async function json(address) {
  const answer = await fetch(new URL(address, location.href));
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

function refused(error) {
  element("value").textContent = `The archive cannot be opened: ${error.message}`;
  element("map").ariaBusy = "false";
}

try {
  const [continents, table] = await Promise.all([json("../pages/continents.json"), json("../pages/colours.json")]);
  if (!continents.length) throw new Error("no frame is archived yet.");
  await new Viewer(continents, table).open(element("continent").value);
} catch (error) {
  refused(error);
}
