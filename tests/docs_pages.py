"""The code of a page in docs/, saved where the page says and found by its registry as a new process would."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from quant_core.registry import Registry


@contextmanager
def saved(
    name: str, code: str, folder: Path, package: ModuleType, registry: Registry[Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The module `name`, in a folder that the package looks into; forgotten afterwards."""
    (folder / f"{name}.py").write_text(code)
    list(registry)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    monkeypatch.setattr(registry, "_loaded", False)  # look for modules again, as a new process does
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(f"{package.__name__}.{name}", None)
    vars(package).pop(name, None)
