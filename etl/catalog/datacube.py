"""The datacube extension's view of the store: its dimensions and variables, read from the metadata."""

from collections.abc import Mapping
from typing import Any

from etl.catalog.values import iso
from etl.load.inventory import Inventory

_AXES = {"longitude": "x", "latitude": "y"}


def documents(inventory: Inventory) -> Mapping[str, Mapping[str, Any]]:
    """The metadata documents of the group's own arrays by name, as committed; groups in it are left out."""
    documents = inventory.documents.items()
    return {name: each for name, each in documents if "/" not in name and each["node_type"] == "array"}


def cube_dimensions(inventory: Inventory) -> dict[str, Any]:
    """`cube:dimensions`: every frame's time in order, and the outer edges and steps of the pixels.

    The step of time is null: frames come as the satellites pass.
    """
    times = [iso(time) for time in inventory.times]
    west, south, east, north = inventory.grid.bbox
    extents = {"longitude": [west, east], "latitude": [south, north]}
    steps = dict(zip(extents, inventory.grid.step, strict=True))
    arrays = documents(inventory)
    horizontal = {
        name: {
            "type": "spatial",
            "axis": axis,
            "description": arrays[name]["attributes"]["long_name"],
            "extent": extents[name],
            "step": steps[name],
            "unit": arrays[name]["attributes"]["units"],
            "reference_system": 4326,
        }
        for name, axis in _AXES.items()
    }
    time = {
        "type": "temporal",
        "description": arrays["time"]["attributes"]["long_name"],
        "extent": [times[0], times[-1]],
        "values": times,
        "step": None,
    }
    return {"time": time, **horizontal}


def cube_variables(inventory: Inventory) -> dict[str, Any]:
    """`cube:variables`: every array that is not a dimension, `ndvi` first."""
    arrays = documents(inventory)
    names = [name for name in arrays if name not in {"ndvi", "time", *_AXES}]
    return {name: _variable(name, arrays[name]) for name in ("ndvi", *names)}


def _variable(name: str, array: Mapping[str, Any]) -> dict[str, Any]:
    attributes = array["attributes"]
    variable = {
        "type": "data" if name == "ndvi" else "auxiliary",
        "dimensions": array.get("dimension_names") or [],
        "description": _description(attributes),
        "unit": attributes.get("units"),
        "nodata": "nan" if array["fill_value"] == "NaN" else attributes.get("_FillValue"),
        "data_type": array["data_type"],
        "cf:standard_name": attributes.get("standard_name"),
    }
    return {key: value for key, value in variable.items() if value is not None}


def _description(attributes: Mapping[str, Any]) -> str | None:
    parts = [attributes.get("long_name")]
    if "scale_factor" in attributes:
        parts.append(f"value = stored number × {attributes['scale_factor']}")
    if "flag_meanings" in attributes:
        flags = zip(attributes["flag_values"], attributes["flag_meanings"].split(), strict=True)
        parts.append(", ".join(f"{value} = {meaning}" for value, meaning in flags))
    return "; ".join(part for part in parts if part) or None
