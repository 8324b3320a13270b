"""The rules of the house: imports flow one way, and nothing here tells of a machine."""

import ast
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1] / "etl"
FLOOR = {
    "text": -2,
    "errors": -1,
    "dates": 0,
    "extract": 1,
    "demo": 1,
    "transform": 2,
    "load": 3,
    "catalog": 4,
    "report": 4,
    "metrics": 4,
    "plan": 4,
    "signals": 0,
    "pipeline": 5,
    "audit": 5,
    "config": 5,
    "reading": 4,
    "analysis": 5,
    "serve": 5,
    "nightly": 6,
    "converting": 6,
    "cli": 7,
}
MODULES = sorted(path for path in HOUSE.rglob("*.py") if path.parent != HOUSE or path.stem != "__init__")


def imported(path: Path) -> set[str]:
    """The parts of the house that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module == "etl":
                names.update(f"etl.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {part for name in names if name.startswith("etl.") and (part := name.split(".")[1]) in FLOOR}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_module_imports_only_from_its_own_floor_part_or_from_below(path: Path) -> None:
    part = path.relative_to(HOUSE).parts[0].removesuffix(".py")
    for other in imported(path) - {part}:
        assert FLOOR[other] < FLOOR[part], f"{part} imports {other}"
