"""The market of `market_in_files` brought up to February 2020 once, and given to every test as it was then."""

import shutil
from pathlib import Path

import polars as pl
import pytest
from market_in_files import BUILT, Market, simulated_rows


def _environment(patch: pytest.MonkeyPatch, work: Path) -> None:
    """Data beside the prices."""
    patch.setenv("QUANT_DATA", str(work / "data"))
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)


def _restore(work: Path, snapshot: Path) -> None:
    """Put everything back as it was, but for MLflow's store: the process has it open."""
    for place in (work / "prices", work / "data" / "demo_files"):
        shutil.rmtree(place)
    shutil.copytree(snapshot, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("mlflow"))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, pl.DataFrame]:
    """(folder in which every test works, snapshot of it, rows): the lab up to February 2020."""
    root = tmp_path_factory.mktemp("bad_days")
    work, snapshot = root / "work", root / "snapshot"
    (work / "prices").mkdir(parents=True)
    market = Market(work, simulated_rows())
    market.write_history()
    market.write_index(BUILT)
    market.write_actions()
    market.write_members()
    with pytest.MonkeyPatch.context() as patch:
        _environment(patch, work)
        market.books("2020-02")
    shutil.copytree(work, snapshot)
    return work, snapshot, market.rows


@pytest.fixture
def market(built: tuple[Path, Path, pl.DataFrame], monkeypatch: pytest.MonkeyPatch) -> Market:
    """The market at the end of February, in the same place each time: a path is part of what a lab was made from."""
    work, snapshot, rows = built
    _restore(work, snapshot)
    _environment(monkeypatch, work)
    return Market(work, rows)


@pytest.fixture(scope="session")
def undisturbed(built: tuple[Path, Path, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Tables of the backtest where nothing went wrong in March."""
    work, snapshot, rows = built
    _restore(work, snapshot)
    with pytest.MonkeyPatch.context() as patch:
        _environment(patch, work)
        market = Market(work, rows)
        market.write_march()
        market.write_index()
        books = market.books()
        return {name: books.table(name) for name in ("daily", "positions", "trades", "benchmark")}
