"""No module imports itself, by however many steps: statements at module level, those for the type checker included."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("quant_core", "quant_assets")


def modules() -> dict[str, Path]:
    """Dotted name -> file."""
    found = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(body: list[ast.stmt], known: dict[str, Path]) -> Iterator[str]:
    """Modules of the lab that these statements import; not what functions import when they run."""
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from (name.name for name in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            inner = [f"{statement.module}.{name.name}" for name in statement.names]
            yield from (name if name in known else statement.module for name in inner)
        elif isinstance(statement, (ast.If, ast.Try)):
            yield from imported([*statement.body, *statement.orelse], known)


def test_there_is_no_import_circle() -> None:
    known = modules()
    assert len(known) > 150
    graph = {
        name: {one for one in imported(ast.parse(path.read_text()).body, known) if one in known and one != name}
        for name, path in known.items()
    }
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
