#!/usr/bin/env python3
"""From an archive to a figure: the map of a date, and the season of a region as each satellite saw it.

Run it as it is on the archive of `ndvi-archive demo`, or cell by cell in an editor that knows `# %%`
(VS Code, Spyder, PyCharm; Jupyter by jupytext). It needs `pip install 'ndvi-archive[analysis]'`.
"""

import matplotlib.pyplot as plt
import numpy as np
import shapely

import etl

# %% What to show: make it yours. The archive can be a bucket, or the address of `ndvi-archive serve`, too.
ARCHIVE = "demo-archive"
CONTINENT = "Synthetic Europe"
DATE = "2021-06-01"
# Of a file: etl.read_geojson("mine.geojson"); of a box: etl.box(west, south, east, north).
REGION = etl.Region(
    shapely.Polygon([(9.5, 49.5), (11.5, 47.6), (16.5, 47.4), (19, 49), (17, 52), (12, 52.3)]), "my region"
)

# %% Open it. No pixel is read yet; NDVI below 0.05, commonly no data, will be NaN.
ds = etl.open_archive(ARCHIVE, CONTINENT)
print(ds)

# %% The map: of each pixel the highest NDVI of the day's frames, which are of two satellites.
day = ds.ndvi.sel(time=DATE).max("time").compute()

# %% The season: of each frame the mean of the region, in which a pixel counts as much as its area.
part = etl.Selection(ARCHIVE, CONTINENT, region=REGION).open()
season = part.ndvi.weighted(np.cos(np.deg2rad(part.latitude))).mean(("latitude", "longitude")).compute()

# %% How the satellites differ, on the days that both have.
s3a, s3b = (season[(season.satellite == name).values].resample(time="1D").mean() for name in ("S3A", "S3B"))
difference = (s3a - s3b).dropna("time")
print(f"S3A − S3B: {difference.mean():+.4f} on average of {difference.size} days")

# %% The figure.
plt.rcParams["date.converter"] = "concise"
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
day.plot.imshow(ax=left, cmap="YlGn", vmin=0, vmax=0.9, cbar_kwargs={"label": "NDVI", "shrink": 0.8})
for ring in shapely.get_parts(REGION.shape.boundary):
    left.plot(*shapely.get_coordinates(ring).T, color="black", linewidth=1.2)
left.set(title=f"{CONTINENT}, {DATE}", xlabel="longitude, °E", ylabel="latitude, °N")
left.set_aspect(1 / np.cos(np.deg2rad(day.latitude.mean().item())))
for name, series, colour in (("S3A", s3a, "#0072b2"), ("S3B", s3b, "#d55e00")):
    right.plot(series.time, series, ".-", linewidth=0.7, markersize=4, color=colour, label=name)
right.set(title=f"Mean of {REGION.name}", ylabel="NDVI")
right.grid(alpha=0.3)
right.legend(frameon=False)
figure.savefig("ndvi-figure.png", dpi=150)
