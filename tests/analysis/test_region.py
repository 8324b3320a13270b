"""Which pixels belong to a point, a box or polygons; and what GeoJSON is understood."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from etl.analysis.region import Region, box, cut, point, read_geojson
from etl.errors import UsageError
from etl.transform.grid import Grid

GRID = Grid(6, 4, (0.0, 40.0, 12.0, 48.0))
"""Pixels of 2° with centres at 1, 3, … 11 °E and 47, 45, 43, 41 °N."""


@pytest.fixture
def dataset() -> xr.Dataset:
    """Three frames; each pixel's value is its number."""
    values = np.arange(3 * 4 * 6, dtype=np.float64).reshape(3, 4, 6)
    return xr.Dataset(
        {"ndvi": (("time", "latitude", "longitude"), values, {"units": "1"})},
        {"time": [0, 1, 2], "latitude": GRID.latitude, "longitude": GRID.longitude},
    ).chunk({"time": 1})


def ring(*corners: tuple[float, float]) -> list[list[float]]:
    return [list(corner) for corner in (*corners, corners[0])]


def square(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return ring((west, south), (east, south), (east, north), (west, north))


def polygon(*rings: list[list[float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def feature(geometry: object) -> dict[str, Any]:
    return {"type": "Feature", "properties": {"name": "field"}, "geometry": geometry}


def collection(*geometries: object) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": [feature(geometry) for geometry in geometries]}


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.geojson"
    with path.open("wb") as file:
        file.truncate((1 << 26) + 1)
    with pytest.raises(UsageError, match="is larger than 67108864 bytes; simplify its polygons"):
        read_geojson(path)


def saved(folder: Path, document: object) -> Path:
    path = folder / "fields.geojson"
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    return path


def centres(part: xr.Dataset) -> set[tuple[float, float]]:
    """Longitude and latitude of the pixels that are not NaN; the same in all frames."""
    held = np.isfinite(part.ndvi.values)
    assert (held == held[0]).all()
    rows, columns = np.nonzero(held[0])
    return {
        (float(part.longitude[column]), float(part.latitude[row]))
        for row, column in zip(rows, columns, strict=True)
    }


@pytest.mark.parametrize(
    ("longitude", "latitude", "pixel"),
    [
        (5.0, 45.0, (5, 45)),
        (4.1, 45.9, (5, 45)),
        (0.0, 48.0, (1, 47)),
        (12.0, 40.0, (11, 41)),
        (12.0, 48.0, (11, 47)),
        (0.0, 40.0, (1, 41)),
        (4.0, 46.0, (3, 47)),
    ],
    ids=["centre", "inside", "north-west", "south-east", "north-east", "south-west", "between four pixels"],
)
def test_a_point_is_the_pixel_it_lies_in_the_edges_of_the_grid_included(
    dataset: xr.Dataset, longitude: float, latitude: float, pixel: tuple[float, float]
) -> None:
    part = cut(dataset, point(longitude, latitude))

    assert centres(part) == {pixel}
    assert part.ndvi.shape == (3, 1, 1)


def test_the_outermost_corner_of_any_grid_lies_within_though_its_centres_are_rounded() -> None:
    for count in range(2, 300, 7):
        grid = Grid(count, count, (-11.25, 34.1, 31.0625, 71.3))
        dataset = xr.Dataset(
            {"ndvi": (("latitude", "longitude"), np.zeros((count, count)))},
            {"latitude": grid.latitude, "longitude": grid.longitude},
        )
        for longitude, latitude in ((-11.25, 71.3), (31.0625, 34.1)):
            assert cut(dataset, point(longitude, latitude)).ndvi.shape == (1, 1)


def test_of_a_box_belongs_what_has_its_centre_in_it_or_on_its_edge(dataset: xr.Dataset) -> None:
    part = cut(dataset, box(3.0, 42.9, 6.9, 45.0))

    assert centres(part) == {(3, 45), (5, 45), (3, 43), (5, 43)}
    assert part.ndvi.shape == (3, 2, 2)
    np.testing.assert_array_equal(part.ndvi.values, dataset.ndvi.values[:, 1:3, 1:3])
    assert part.ndvi.attrs == {"units": "1"}


@pytest.mark.parametrize(
    ("bounds", "pixel"),
    [
        ((5.2, 45.2, 5.3, 45.3), (5, 45)),
        ((5.2, 44.8, 5.3, 45.3), (5, 45)),
        ((4.9, 45.2, 5.1, 45.3), (5, 45)),
        ((11.9, 41.5, 20.0, 41.6), (11, 41)),
    ],
    ids=["beside the centre", "across a row's centres", "across a column's centres", "mostly outside"],
)
def test_a_box_smaller_than_a_pixel_is_the_pixel_it_lies_in(
    dataset: xr.Dataset, bounds: tuple[float, float, float, float], pixel: tuple[float, float]
) -> None:
    assert centres(cut(dataset, box(*bounds))) == {pixel}


def test_a_box_that_reaches_beyond_the_grid_is_cut_at_its_edge(dataset: xr.Dataset) -> None:
    assert centres(cut(dataset, box(8.5, 30.0, 50.0, 42.0))) == {(9, 41), (11, 41)}
    assert cut(dataset, box(-180, -90, 180, 90)).ndvi.shape == (3, 4, 6)


@pytest.mark.parametrize(
    "region", [point(12.01, 44.0), point(6.0, 39.99), box(13, 40, 14, 41), box(-10, 49, 30, 60)]
)
def test_what_lies_outside_is_refused_with_what_there_is(dataset: xr.Dataset, region: Region) -> None:
    with pytest.raises(UsageError, match=r"lies outside of the archive; .* within 0 to 12 °E, 40 to 48 °N$"):
        cut(dataset, region)


def test_polygons_leave_out_their_holes_and_what_is_between_them(dataset: xr.Dataset, tmp_path: Path) -> None:
    with_hole = polygon(square(0, 42, 6, 48), square(2.5, 44.5, 3.5, 45.5))
    path = saved(tmp_path, collection(with_hole, None, polygon(square(10, 40, 12, 42))))

    part = cut(dataset, read_geojson(path))

    west = {(x, y) for x in (1, 3, 5) for y in (43, 45, 47)} - {(3, 45)}
    assert centres(part) == west | {(11, 41)}
    assert part.ndvi.shape == (3, 4, 6)
    belongs = np.isfinite(part.ndvi.values)
    np.testing.assert_array_equal(part.ndvi.values[belongs], dataset.ndvi.values[belongs])
    assert part.ndvi.attrs == {"units": "1"}


def test_the_window_around_polygons_is_the_smallest(dataset: xr.Dataset, tmp_path: Path) -> None:
    corner = ring((2.9, 42.9), (9.1, 42.9), (9.1, 43.1), (3.1, 45.1), (2.9, 45.1))

    part = cut(dataset, read_geojson(saved(tmp_path, polygon(corner))))

    assert centres(part) == {(3, 45), (3, 43), (5, 43), (7, 43), (9, 43)}
    assert part.ndvi.shape == (3, 2, 4)


def test_a_polygon_that_holds_no_centre_is_a_pixel_of_it(dataset: xr.Dataset, tmp_path: Path) -> None:
    hook = ring((4.2, 44.2), (7.8, 44.2), (7.8, 44.4), (4.4, 44.4), (4.4, 45.8), (4.2, 45.8))

    part = cut(dataset, read_geojson(saved(tmp_path, feature(polygon(hook)))))

    assert len(centres(part)) == 1
    assert centres(part) < {(5, 45), (7, 45)}


def test_overlapping_polygons_are_one_area(dataset: xr.Dataset, tmp_path: Path) -> None:
    two = {
        "type": "MultiPolygon",
        "coordinates": [[square(0, 44, 4, 48)], [square(2, 44, 6, 48)]],
    }
    nested = {"type": "GeometryCollection", "geometries": [two, polygon(square(0, 42, 2, 44))]}

    part = cut(dataset, read_geojson(saved(tmp_path, nested)))

    assert centres(part) == {(x, y) for x in (1, 3, 5) for y in (45, 47)} | {(1, 43)}


def test_large_polygons_are_looked_at_in_blocks_of_rows(tmp_path: Path) -> None:
    grid = Grid(2000, 1500, (0.0, 0.0, 40.0, 30.0))
    dataset = xr.Dataset(
        {"ndvi": (("latitude", "longitude"), np.ones((1500, 2000)))},
        {"latitude": grid.latitude, "longitude": grid.longitude},
    )
    triangle = read_geojson(saved(tmp_path, polygon(ring((0, 0), (40, 0), (0, 30)))))

    part = cut(dataset, triangle)

    longitude, latitude = np.meshgrid(grid.longitude, grid.latitude)
    off = longitude / 40 + latitude / 30 - 1
    found = part.ndvi.reindex_like(dataset).notnull().values
    clear = np.abs(off) > 1e-9
    np.testing.assert_array_equal(found[clear], (off < 0)[clear])
    assert found.sum() > 1_400_000


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Point", "coordinates": [5.5, 45.5]},
        {"type": "Point", "coordinates": [5.5, 45.5, 700.0]},
        {"type": "MultiPoint", "coordinates": [[5.5, 45.5]]},
        polygon([[*corner, 12.0] for corner in square(4.5, 44.5, 5.5, 45.5)]),
    ],
    ids=["point", "with a height", "one of many", "polygon with heights"],
)
def test_a_file_can_hold_one_point_and_heights(
    dataset: xr.Dataset, tmp_path: Path, geometry: dict[str, Any]
) -> None:
    region = read_geojson(saved(tmp_path, collection(geometry)))

    assert region.name == "fields"
    assert centres(cut(dataset, region)) == {(5, 45)}


def test_files_of_other_programs_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    text = json.dumps(polygon(square(0, 0, 1, 1)))

    for encoded in (b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16")):
        assert read_geojson(saved(tmp_path, encoded)).shape.area == 1


NO_JSON = {
    "nothing": b"",
    "words": b"fields",
    "not text": b"\x89PNG\r\n\x1a\n\xff",
    "Latin-1": b'{"type": "Point", "name": "\xe9", "coordinates": [1, 2]}',
    "lines of features": b'{"type": "Feature"}\n{"type": "Feature"}',
    "NaN": b'{"type": "Point", "coordinates": [NaN, 2]}',
    "a list": b"[]",
    "null": b"null",
    "no type": b"{}",
    "a type that is a number": b'{"type": 5}',
    "a feature whose geometry is a text": b'{"type": "Feature", "geometry": "POINT (1 2)"}',
    "features that are no list": b'{"type": "FeatureCollection", "features": {"type": "Feature"}}',
    "lists without end": b"[" * 100_000,
    "collections without end": b'{"type": "GeometryCollection", "geometries": [' * 100_000,
    "collections nested deeply": b'{"type": "GeometryCollection", "geometries": [' * 50_000 + b"]}" * 50_000,
}


@pytest.mark.parametrize("content", NO_JSON.values(), ids=NO_JSON.keys())
def test_what_is_not_geojson_is_refused_in_a_line(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(
        UsageError, match=r"^[^\n]+fields\.geojson is not GeoJSON: [^\n]+; give a GeoJSON file [^\n]+$"
    ):
        read_geojson(saved(tmp_path, content))


def test_coordinates_of_another_system_are_refused(tmp_path: Path) -> None:
    of_grid = polygon(square(0, 0, 1, 1))

    def named(name: str) -> str:
        return json.dumps(of_grid | {"crs": {"type": "name", "properties": {"name": name}}})

    for right in ("urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:EPSG::4326", "EPSG:4326"):
        assert read_geojson(saved(tmp_path, named(right).encode())).shape.area == 1
    for wrong in ("urn:ogc:def:crs:EPSG::3857", "EPSG:43260"):
        with pytest.raises(UsageError, match=r"not in longitude and latitude: .*; export it as EPSG:4326"):
            read_geojson(saved(tmp_path, named(wrong).encode()))


UNUSABLE = {
    "holds no geometry": collection(None),
    "fields.geojson holds no geometry": {"type": "FeatureCollection", "features": []},
    "geojson holds no geometry": {"type": "Polygon", "coordinates": []},
    "holds a LineString": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]},
    "holds a Point beside others": {"type": "MultiPoint", "coordinates": [[0, 0], [1, 1]]},
    "Point beside": collection(polygon(square(0, 0, 1, 1)), {"type": "Point", "coordinates": [0, 0]}),
    "not valid: Self-intersection": polygon(ring((0, 0), (1, 1), (1, 0), (0, 1))),
    "not valid: Too few points": polygon([[0, 0], [1, 0], [0, 0]]),
    "do not form a closed linestring": polygon(square(0, 0, 1, 1)[:-1]),
    "must be number, but is string": {"type": "Point", "coordinates": ["5", "45"]},
    "must be number, but is null": {"type": "Point", "coordinates": [None, 45]},
    "must be number, but is array": {"type": "Point", "coordinates": [[5, 45]]},
    "two or three coordinates": {"type": "Point", "coordinates": [5]},
    "holds a Topology that cannot be used": {"type": "Topology", "objects": {}},
    "Point that cannot be used": b'{"type": "Point", "coordinates": [1e999, 2]}',
    "reaches beyond the Earth": polygon(square(500_000, 5_000_000, 500_100, 5_000_100)),
    "beyond the Earth": {"type": "Point", "coordinates": [181, 0]},
}


@pytest.mark.parametrize(("reason", "document"), UNUSABLE.items(), ids=UNUSABLE.keys())
def test_geometries_that_are_no_area_are_refused(tmp_path: Path, reason: str, document: object) -> None:
    with pytest.raises(UsageError, match=rf"^[^\n]*{reason}[^\n]*; [^\n]+$") as refusal:
        read_geojson(saved(tmp_path, document))
    assert "json.exception" not in str(refusal.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file or directory; check the path"):
        read_geojson(tmp_path / "fields.geojson")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_geojson(tmp_path)


@pytest.mark.parametrize(
    ("longitude", "latitude"), [(180.1, 0), (0, -90.1), (float("nan"), 0), (0, float("inf"))]
)
def test_a_point_that_is_not_on_the_earth_is_refused(longitude: float, latitude: float) -> None:
    with pytest.raises(UsageError, match="is not on the Earth; give degrees"):
        point(longitude, latitude)


@pytest.mark.parametrize(
    "bounds", [(10, 40, 5, 45), (5, 45, 10, 40), (5, 45, 5, 46), (float("nan"), 40, 5, 45), (170, 0, -170, 1)]
)
def test_an_empty_box_is_refused(bounds: tuple[float, float, float, float]) -> None:
    with pytest.raises(UsageError, match="is empty; give west, south, east, north"):
        box(*bounds)


def test_a_box_beyond_the_earth_is_refused() -> None:
    with pytest.raises(UsageError, match="is not on the Earth"):
        box(170, 0, 190, 10)


def test_regions_are_named_by_their_degrees() -> None:
    assert point(-5.25, 45).name == "45°N 5.25°W"
    assert box(-5, -10, 5, 10).name == "10°S 5°W to 10°N 5°E"
