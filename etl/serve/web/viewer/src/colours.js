// The colours of NDVI, as the program has them for its own pictures.

export class Colours {
  /** @param table `{range: [first, last], table: [[r, g, b], …], shown_from}`; stored values are NDVI / scale */
  constructor({ range, table, shown_from: shownFrom }, scale) {
    this.range = range;
    this.table = table;
    // For every stored value its colour, as one 32-bit number in the order of the machine.
    this.lookup = new Uint32Array(65536);
    const bytes = new Uint8ClampedArray(this.lookup.buffer);
    for (let stored = shownFrom; stored < 32768; stored++) {
      const position = ((stored * scale - range[0]) / (range[1] - range[0])) * (table.length - 1);
      const colour = table[Math.min(table.length - 1, Math.max(0, Math.round(position)))];
      bytes.set([...colour, 255], 4 * (stored + 32768));
    }
  }

  /** The picture of a chunk's values; what is no data is transparent. */
  paint({ values, stride, rows, columns }) {
    const picture = new ImageData(columns, rows);
    const pixels = new Uint32Array(picture.data.buffer);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        pixels[row * columns + column] = this.lookup[values[row * stride + column] + 32768];
      }
    }
    return picture;
  }

  /** Fill a legend: a canvas one pixel high, and its labels. */
  legend(figure) {
    const canvas = figure.querySelector("canvas");
    canvas.width = this.table.length;
    const picture = new ImageData(this.table.length, 1);
    this.table.forEach((colour, index) => picture.data.set([...colour, 255], 4 * index));
    canvas.getContext("2d").putImageData(picture, 0, 0);
    const [first, last] = this.range;
    [first, (first + last) / 2, last].forEach((ndvi, index) => {
      figure.querySelectorAll("span")[index].textContent = ndvi.toFixed(2).replace(/0$/, "");
    });
  }
}
