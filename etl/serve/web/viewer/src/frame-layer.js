// A map layer that draws the chunks of one frame where they belong, each pixel as a rectangle of one colour.
import Layer from "ol/layer/Layer.js";
import { apply } from "ol/transform.js";

export class FrameLayer extends Layer {
  #canvas = document.createElement("canvas");
  #pictures = new WeakMap();

  /** @param colours paints stored values: (chunk) => ImageData */
  constructor(colours) {
    super({});
    this.colours = colours;
    this.continent = null;
    this.frame = null;
  }

  getSourceState() {
    return "ready";
  }

  show(continent, frame) {
    this.continent = continent;
    this.frame = frame;
    this.changed();
  }

  render({ size, pixelRatio, extent, coordinateToPixelTransform, viewState }) {
    const canvas = this.#canvas;
    canvas.width = Math.round(size[0] * pixelRatio);
    canvas.height = Math.round(size[1] * pixelRatio);
    canvas.style.cssText = "position:absolute;inset:0;width:100%;height:100%";
    if (!this.continent) return canvas;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    const onScreen = (row, column) =>
      apply(coordinateToPixelTransform, this.continent.placeOf(row, column)).map((value) => value * pixelRatio);
    const { factor: wanted } = this.continent.levelFor(viewState.resolution / pixelRatio);
    // What is here of coarser levels stands in for chunks that are still to come.
    for (const level of this.continent.levels.filter(({ factor }) => factor >= wanted).reverse()) {
      for (const place of this.continent.chunksIn(extent, level)) {
        const chunk = this.continent.known(this.frame, place);
        if (!chunk) continue;
        // Edges on whole pixels, so that no seam shows between chunks.
        const edge = (row, column) => onScreen(row * chunk.factor, column * chunk.factor).map(Math.round);
        const [left, top] = edge(chunk.top, chunk.left);
        const [right, bottom] = edge(chunk.top + chunk.rows, chunk.left + chunk.columns);
        context.clearRect(left, top, right - left, bottom - top);
        context.drawImage(this.#picture(chunk), left, top, right - left, bottom - top);
      }
    }
    return canvas;
  }

  #picture(chunk) {
    let picture = this.#pictures.get(chunk);
    if (!picture) {
      picture = document.createElement("canvas");
      picture.width = chunk.columns;
      picture.height = chunk.rows;
      picture.getContext("2d").putImageData(this.colours.paint(chunk), 0, 0);
      this.#pictures.set(chunk, picture);
    }
    return picture;
  }
}
