"""The API reference is built from docstrings, and what it cannot make sense of is told; `make docs` builds all."""

import importlib
from pathlib import Path

import pytest
from lab_process import ROOT

pytest.importorskip("pdoc", reason="pdoc is not installed: `make install`, or pip install '.[docs]'")

CODE = '''"""A module."""


def doubled(x: "{kind}") -> float:
    """Twice `x`.

    Args:
        x: a number.
    """
    return 2 * x
'''


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "warnings"), [("float", 0), ("Nonesuch", 1)])
def test_a_docstring_becomes_a_page_and_a_type_that_does_not_exist_is_told(
    kind: str, warnings: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"documented_{kind.lower()}"
    (tmp_path / f"{name}.py").write_text(CODE.format(kind=kind))
    importlib.invalidate_caches()
    told = importlib.import_module("build_api").build(tmp_path / "pages", (name,))
    assert [kind in line for line in told] == [True] * warnings
    page = (tmp_path / "pages" / f"{name}.html").read_text()
    assert "doubled" in page
    assert "a number" in page
