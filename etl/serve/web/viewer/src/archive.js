// Reading a continent's Zarr group: what is known of all frames at once, their values chunk by chunk.
import * as zarr from "zarrita";

const KEPT_CHUNKS = 192;

/** Open the group at an address. Its root metadata are the commit, so only these are asked for. */
export async function openContinent(url) {
  let checksums = null;
  const store = new zarr.FetchStore(url, {
    useSuffixRequest: true,
    fetch: (request) => fetch(addressed(request, url, checksums)),
  });
  const committed = await zarr.withConsolidatedMetadata(store, { format: "v3" });
  const group = await zarr.open.v3(committed, { kind: "group" });
  const open = (name) => zarr.open.v3(group.resolve(name), { kind: "array" });
  const column = async (name) => (await zarr.get(await open(name))).data;
  const coarser = (group.attrs.multiscales?.layout ?? []).filter(({ asset }) => asset !== ".");
  const [ndvi, satellites, ...overviews] = await Promise.all([
    open("ndvi"),
    open("satellite"),
    ...coarser.map(({ asset }) => open(`${asset}/ndvi`)),
  ]);
  const [time, flags, mean, valid, crc] = await Promise.all(
    ["time", "satellite", "ndvi_mean", "valid_fraction", "checksum"].map(column),
  );
  checksums = crc;
  const names = satellites.attrs.flag_meanings.split(" ");
  const frames = Array.from(time, (seconds, index) => ({
    index,
    time: new Date(Number(seconds) * 1000),
    satellite: names[satellites.attrs.flag_values.indexOf(flags[index])],
    mean: mean[index],
    valid: valid[index],
  }));
  const levels = [ndvi, ...overviews].map(
    (array, index) => new Level(array, coarser[index - 1]?.transform.scale.at(-1) ?? 1),
  );
  return new Continent(levels.sort((a, b) => a.factor - b.factor), frames);
}

/** The values of a frame may be kept for ever, and a rebuild replaces them: ask for those of this checksum. */
function addressed(request, url, checksums) {
  const inside = request.url.startsWith(`${url}/`) ? request.url.slice(url.length) : "";
  const found = inside.match(/^\/(?:overviews\/\d+\/)?ndvi\/(?:c\/)?(\d+)\//);
  return found && checksums ? new Request(`${request.url}?crc32c=${checksums[found[1]]}`, request) : request;
}

/** The frames, or an overview of them; a cell is as many pixels long and wide as the factor says. */
class Level {
  constructor(ndvi, factor) {
    this.ndvi = ndvi;
    this.factor = factor;
    [, this.rows, this.columns] = ndvi.shape;
    [, this.chunkRows, this.chunkColumns] = ndvi.chunks;
  }
}

class Continent {
  #chunks = new Map();

  /** @param levels the frames' own, and then coarser ones */
  constructor(levels, frames) {
    const { "spatial:bbox": bbox, scale_factor: scale } = levels[0].ndvi.attrs;
    this.levels = levels;
    this.frames = frames;
    this.bbox = bbox;
    this.scale = scale;
    this.fill = levels[0].ndvi.fillValue;
    ({ rows: this.rows, columns: this.columns } = levels[0]);
  }

  /** The coarsest level whose cells are no larger than so many degrees. */
  levelFor(resolution) {
    const [west, , east] = this.bbox;
    const pixel = (east - west) / this.columns;
    return this.levels.findLast(({ factor }) => factor * pixel <= resolution) ?? this.levels[0];
  }

  /** Row and column, not rounded, of a place in degrees. */
  pixelOf([longitude, latitude]) {
    const [west, south, east, north] = this.bbox;
    return [
      ((north - latitude) / (north - south)) * this.rows,
      ((longitude - west) / (east - west)) * this.columns,
    ];
  }

  /** Place in degrees of a row and a column; whole numbers are the pixels' upper left corners. */
  placeOf(row, column) {
    const [west, south, east, north] = this.bbox;
    return [west + (column / this.columns) * (east - west), north - (row / this.rows) * (north - south)];
  }

  /** The chunks of a level that an extent in degrees touches. */
  chunksIn([west, south, east, north], level) {
    const cellOf = (place) => this.pixelOf(place).map((pixel) => pixel / level.factor);
    const [top, left] = cellOf([west, north]);
    const [bottom, right] = cellOf([east, south]);
    const span = (from, to, size, length) => {
      const first = Math.floor(Math.max(0, from) / size);
      const last = Math.ceil(Math.min(length, to) / size);
      return Array.from({ length: Math.max(0, last - first) }, (_, step) => first + step);
    };
    const columns = span(left, right, level.chunkColumns, level.columns);
    const rows = span(top, bottom, level.chunkRows, level.rows);
    return rows.flatMap((row) => columns.map((column) => ({ level, row, column })));
  }

  /** A chunk if it is here: its int16 values, NDVI / scale, and where in its level the frame's part of them is. */
  known(frame, { level, row, column }) {
    return this.#chunks.get(`${level.factor}/${frame}/${row}/${column}`)?.chunk;
  }

  /** Fetch a chunk unless it is here, or under way. */
  async load(frame, place) {
    const key = `${place.level.factor}/${frame}/${place.row}/${place.column}`;
    const found = this.#chunks.get(key) ?? { coming: this.#fetch(frame, place) };
    this.#chunks.delete(key);
    this.#chunks.set(key, found);
    try {
      found.chunk = await found.coming;
    } catch (error) {
      this.#chunks.delete(key);
      throw error;
    }
    return found.chunk;
  }

  async #fetch(frame, { level, row, column }) {
    const { data } = await level.ndvi.getChunk([frame, row, column]);
    // What cannot be decompressed comes as nothing, without an error.
    if (data.length !== level.chunkRows * level.chunkColumns) throw new Error("its values are damaged.");
    const top = row * level.chunkRows;
    const left = column * level.chunkColumns;
    return {
      values: data,
      stride: level.chunkColumns,
      factor: level.factor,
      top,
      left,
      rows: Math.min(level.chunkRows, level.rows - top),
      columns: Math.min(level.chunkColumns, level.columns - left),
    };
  }

  /** Forget the chunks that were used longest ago, but for as many as are in view. */
  trim(inView) {
    for (const key of this.#chunks.keys()) {
      if (this.#chunks.size <= Math.max(KEPT_CHUNKS, 2 * inView)) break;
      this.#chunks.delete(key);
    }
  }

  /** The frame's own stored value at a place, and the middle of its pixel; null outside. */
  async valueAt(frame, place) {
    const [row, column] = this.pixelOf(place).map(Math.floor);
    if (row < 0 || column < 0 || row >= this.rows || column >= this.columns) return null;
    const [level] = this.levels;
    const chunk = { level, row: Math.floor(row / level.chunkRows), column: Math.floor(column / level.chunkColumns) };
    const { values, stride, top, left } = await this.load(frame, chunk);
    return { stored: values[(row - top) * stride + column - left], middle: this.placeOf(row + 0.5, column + 0.5) };
  }
}
