"""The geometries of a GeoJSON file."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import shapely
from pydantic_core import from_json
from shapely.geometry.base import BaseGeometry

from etl.errors import UsageError

_REMEDY = "give a GeoJSON file of polygons, or of one point, in longitude and latitude"
_LARGEST_FILE = 1 << 26
"""Bytes of a file: the coasts of a continent at a scale of 1 : 1,000,000 take less."""

_COLLECTIONS = {"FeatureCollection": "features", "GeometryCollection": "geometries"}


def read_shape(path: Path) -> BaseGeometry:
    """The polygons, or the one point, of a GeoJSON file (RFC 7946): a geometry, a feature or a collection.

    Features without a geometry are left out.

    Raises:
        UsageError: It cannot be read, or holds something else.
    """
    shapes = [
        part
        for geometry in _geometries(path, _document(path))
        for part in shapely.get_parts(_shape(path, geometry))
        if not part.is_empty
    ]
    if not shapes:
        raise UsageError(f"{path} holds no geometry", _REMEDY)
    kinds = [shape.geom_type for shape in shapes]
    if kinds != ["Point"]:
        for shape, kind in zip(shapes, kinds, strict=True):
            if kind != "Polygon":
                several = "Point beside others" if kind == "Point" else kind
                raise UsageError(f"{path} holds a {several}", _REMEDY)
            if not shape.is_valid:
                reason = shapely.is_valid_reason(shape)
                raise UsageError(f"{path} holds a polygon that is not valid: {reason}", "repair it")
    joined: BaseGeometry = shapely.union_all(shapes)
    return joined


def _document(path: Path) -> object:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
        if len(data) > _LARGEST_FILE:
            raise UsageError(f"{path} is larger than {_LARGEST_FILE} bytes", "simplify its polygons")
        document: object = from_json(data.decode(json.detect_encoding(data)), allow_inf_nan=False)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check the path") from None
    except ValueError as error:
        raise UsageError(f"{path} is not GeoJSON: {error}", _REMEDY) from None
    # Of the time before RFC 7946, which knows but one.
    crs = document.get("crs") if isinstance(document, dict) else None
    if crs is not None and not re.search(r"CRS84|EPSG:+4326\b", str(crs)):
        raise UsageError(
            f"{path} is not in longitude and latitude: its crs is {crs!r:.100}", "export it as EPSG:4326"
        )
    return document


def _geometries(path: Path, document: object) -> Iterator[dict[str, Any]]:
    """The geometries in a document, in order; what nests them is taken apart without recursion."""
    left = [document]
    while left:
        each = left.pop()
        kind = each.get("type") if isinstance(each, dict) else None
        if not isinstance(each, dict) or not isinstance(kind, str):
            raise UsageError(f"{path} is not GeoJSON: it has no type where one belongs", _REMEDY)
        if kind == "Feature":
            if each.get("geometry") is not None:
                left.append(each["geometry"])
        elif kind in _COLLECTIONS:
            members = each.get(_COLLECTIONS[kind])
            if not isinstance(members, list):
                raise UsageError(
                    f"{path} is not GeoJSON: its {kind} has no list of {_COLLECTIONS[kind]}", _REMEDY
                )
            left.extend(reversed(members))
        else:
            yield each


def _shape(path: Path, geometry: dict[str, Any]) -> BaseGeometry:
    plain = {name: geometry.get(name) for name in ("type", "coordinates")}
    try:
        shape: BaseGeometry = shapely.from_geojson(json.dumps(plain, allow_nan=False))
    except (shapely.errors.ShapelyError, ValueError) as error:
        reason = re.sub(r"^.*?\[json[^]]*\] |^\w+Exception: |'$", "", " ".join(str(error).split()))
        raise UsageError(f"{path} holds a {plain['type']} that cannot be used: {reason}", _REMEDY) from None
    return shape
