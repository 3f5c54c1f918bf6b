"""Fixtures that every test may use, and which worker runs which tests."""

import os
from pathlib import Path
from typing import Any

import pytest

#: Rooms of which one worker takes everything: their tests share what is costly to make, or start servers and browsers
#: of which one set at a time is enough.
WHOLE = ("tests/ui/", "tests/bad_days/", "tests/real_data/")
#: Where tests wait or take long: first, so that the many quick ones of the core fill what is left of the time.
FIRST = (*WHOLE, "tests/soak/", "tests/assets/")


def room(nodeid: str, rooms: tuple[str, ...]) -> str | None:
    """The one of `rooms` that a test lies in."""
    return next((room for room in rooms if nodeid.startswith(room)), None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Rooms in the order of FIRST, then the others as they were found; soak tests only where they are asked for."""
    if "soak" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("soak") is not None:
                item.add_marker(pytest.mark.skip(reason="takes long: `make soak`"))
    place = {name: n for n, name in enumerate((*FIRST, None))}
    items.sort(key=lambda item: place[room(item.nodeid, FIRST)])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """With `-n auto`: one more than there are cores, as the tests of servers and daemons mostly wait."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile`: files in the order above, rooms whole."""
    from xdist.scheduler import LoadScopeScheduling

    class ByRoom(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return room(nodeid, WHOLE) or nodeid.partition("::")[0]

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
