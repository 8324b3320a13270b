// What is around the frames: coastlines (Natural Earth, in the public domain) and a graticule, nothing from elsewhere.
import GeoJSON from "ol/format/GeoJSON.js";
import Graticule from "ol/layer/Graticule.js";
import VectorLayer from "ol/layer/Vector.js";
import VectorSource from "ol/source/Vector.js";
import Stroke from "ol/style/Stroke.js";
import Style from "ol/style/Style.js";
import { mesh } from "topojson-client";

export function graticule() {
  return new Graticule({
    strokeStyle: new Stroke({ color: "rgba(128, 128, 128, 0.35)", width: 1 }),
    showLabels: true,
    targetSize: 140,
  });
}

/** The coastlines come once the map is there. */
export function coastlines() {
  const source = new VectorSource();
  import("world-atlas/land-50m.json").then(({ default: land }) => {
    const { coordinates } = mesh(land, land.objects.land);
    const geometry = { type: "MultiLineString", coordinates: coordinates.flatMap(withoutJumps) };
    source.addFeatures(new GeoJSON().readFeatures({ type: "Feature", geometry }));
  });
  return new VectorLayer({
    source,
    style: new Style({ stroke: new Stroke({ color: "rgba(60, 70, 65, 0.75)", width: 1 }) }),
  });
}

/** A line in parts: where it goes on at the other edge of the map, nothing is to be drawn across. */
function withoutJumps(line) {
  const parts = [[]];
  line.forEach((place, index) => {
    if (index && Math.abs(place[0] - line[index - 1][0]) > 180) parts.push([]);
    parts.at(-1).push(place);
  });
  return parts.filter((part) => part.length > 1);
}
