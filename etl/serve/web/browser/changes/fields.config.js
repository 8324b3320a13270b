// How fields are shown that the STAC Browser does not know: the colours of a rendering as a strip, not as 256 rows.
import { Helper, Registry } from "@radiantearth/stac-fields";

function css(colour) {
  const [red, green, blue, alpha] = colour.replace("#", "").match(/../g).map((digits) => parseInt(digits, 16));
  return `rgba(${red}, ${green}, ${blue}, ${(alpha ?? 255) / 255})`;
}

function strip(colormap) {
  const colours = Object.values(colormap).filter((each) => /^#([0-9a-f]{6}|[0-9a-f]{8})$/i.test(each));
  return `<div class="colours" style="background: linear-gradient(to right, ${colours.map(css).join(", ")})"></div>`;
}

function rendering({ title, colormap, rescale }) {
  const range = rescale?.[0] ? `Stored numbers from ${rescale[0].map(Number).join(" to ")}` : "";
  return `${Helper.e(String(title ?? ""))}${colormap ? strip(colormap) : ""}<small>${range}</small>`;
}

Registry.addMetadataField("renders", {
  label: "Colours",
  formatter: (renders) => Object.values(renders).map(rendering).join("<br>"),
});

Registry.addExtension("ndvi_archive", "This archive");
Registry.addMetadataFields({
  "ndvi_archive:frames": { label: "Frames" },
  "ndvi_archive:frames_by_platform": { label: "Frames by satellite" },
  "ndvi_archive:format": { label: "Version of the format" },
  "ndvi_archive:items": { label: "Items" },
  "ndvi_archive:geoparquet": { label: "Items as GeoParquet" },
  "ndvi_archive:ndvi_mean": { label: "Mean NDVI of a frame" },
  "ndvi_archive:valid_fraction": { label: "Share of valid pixels" },
});
