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
  const [ndvi, satellites] = await Promise.all([open("ndvi"), open("satellite")]);
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
  return new Continent(ndvi, frames);
}

/** The values of a frame may be kept for ever, and a rebuild replaces them: ask for those of this checksum. */
function addressed(request, url, checksums) {
  const found = request.url.startsWith(`${url}/ndvi/`) && request.url.match(/\/ndvi\/(?:c\/)?(\d+)\//);
  return found && checksums ? new Request(`${request.url}?crc32c=${checksums[found[1]]}`, request) : request;
}

class Continent {
  #ndvi;
  #chunks = new Map();

  constructor(ndvi, frames) {
    const { "spatial:bbox": bbox, scale_factor: scale } = ndvi.attrs;
    this.#ndvi = ndvi;
    this.frames = frames;
    this.bbox = bbox;
    this.scale = scale;
    this.fill = ndvi.fillValue;
    [, this.rows, this.columns] = ndvi.shape;
    [, this.chunkRows, this.chunkColumns] = ndvi.chunks;
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

  /** The chunks that an extent in degrees touches. */
  chunksIn([west, south, east, north]) {
    const [top, left] = this.pixelOf([west, north]);
    const [bottom, right] = this.pixelOf([east, south]);
    const span = (from, to, size, length) => {
      const first = Math.floor(Math.max(0, from) / size);
      const last = Math.ceil(Math.min(length, to) / size);
      return Array.from({ length: Math.max(0, last - first) }, (_, step) => first + step);
    };
    const columns = span(left, right, this.chunkColumns, this.columns);
    return span(top, bottom, this.chunkRows, this.rows).flatMap((row) => columns.map((column) => [row, column]));
  }

  /** A chunk if it is here: its int16 values, NDVI / scale, and where the frame's part of them is. */
  known(frame, [row, column]) {
    return this.#chunks.get(`${frame}/${row}/${column}`)?.chunk;
  }

  /** Fetch a chunk unless it is here, or under way. */
  async load(frame, position) {
    const key = [frame, ...position].join("/");
    const found = this.#chunks.get(key) ?? { coming: this.#fetch(frame, position) };
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

  async #fetch(frame, [row, column]) {
    const { data } = await this.#ndvi.getChunk([frame, row, column]);
    // What cannot be decompressed comes as nothing, without an error.
    if (data.length !== this.chunkRows * this.chunkColumns) throw new Error("its values are damaged.");
    const top = row * this.chunkRows;
    const left = column * this.chunkColumns;
    return {
      values: data,
      stride: this.chunkColumns,
      top,
      left,
      rows: Math.min(this.chunkRows, this.rows - top),
      columns: Math.min(this.chunkColumns, this.columns - left),
    };
  }

  /** Forget the chunks that were used longest ago, but for as many as are in view. */
  trim(inView) {
    for (const key of this.#chunks.keys()) {
      if (this.#chunks.size <= Math.max(KEPT_CHUNKS, 2 * inView)) break;
      this.#chunks.delete(key);
    }
  }

  /** The stored value at a place, and the middle of its pixel; null outside. */
  async valueAt(frame, place) {
    const [row, column] = this.pixelOf(place).map(Math.floor);
    if (row < 0 || column < 0 || row >= this.rows || column >= this.columns) return null;
    const chunk = [Math.floor(row / this.chunkRows), Math.floor(column / this.chunkColumns)];
    const { values, stride, top, left } = await this.load(frame, chunk);
    return { stored: values[(row - top) * stride + column - left], middle: this.placeOf(row + 0.5, column + 0.5) };
  }
}
