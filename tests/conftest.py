"""Fixtures that every test may use, and which worker runs which tests."""

import os
from pathlib import Path
from typing import Any

import pytest

#: Rooms whose tests share what is costly to make: one worker takes all of a room. Elsewhere it takes a file at a time.
SHARED_ROOMS = ("tests/bad_days/", "tests/real_data/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: at the end the quick ones keep every worker busy."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile`: files in the order above, shared rooms whole."""
    from xdist.scheduler import LoadScopeScheduling

    class ByRoom(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return next((room for room in SHARED_ROOMS if file.startswith(room)), file)

    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return ByRoom(config, log)


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """Folder of the private price files: QUANT_REAL_DATA, else ../shared/data beside the repository."""
    root = Path(__file__).parents[1]
    folder = Path(os.environ.get("QUANT_REAL_DATA", root / ".." / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data: {folder} does not exist; set QUANT_REAL_DATA")
    return folder
