"""The smallest span that runs every stage, and what is stored of it."""

from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import polars as pl
from upath import UPath

from quant_assets.storage.partition_files import Stamp, read_artifact, read_stamp

SPAN = [
    "profile.start=2018-01",
    "raw_ohlcv.start=2018-01-01",
    "profile.first_fold=2020",
    "profile.train_years=2",
    "profile.end=2020-02",
    "raw_ohlcv.n_tickers=8",
    "profile.models=[ridge]",
    "profile.regimes=[]",
    "profile.agents=[]",
    "forecaster_ridge.importance_dates=10",
]
COMMAND = ["run", "--profile", "demo", *(part for setting in SPAN for part in ("--set", setting))]
#: In the order in which a run makes them.
STAGES = (
    "raw_ohlcv", "clean_prices", "features", "training_window", "forecaster_ridge", "book_settings",
    "forecasts_ridge", "forecast_comparison", "forecast_quality", "target_weights", "backtest", "backtest_report",
    "signals",
)  # fmt: skip


@dataclass(frozen=True)
class SmallLab:
    """A lab in a folder of its own."""

    folder: Path
    environment: dict[str, str]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def hashes(self, profile: str = "demo") -> dict[str, str]:
        """asset/partition -> content hash of everything stored under a final name, each read through to its end."""
        found = {}
        for path in sorted(self.data.glob(f"{profile}/*/[0-9]*.*")):
            if path.suffix in (".parquet", ".json"):
                found[f"{path.parent.name}/{path.stem}"] = readable(path).content_hash
        return found


def readable(path: Path) -> Stamp:
    """The stamp of a partition whose content can be read whole."""
    stamp = read_stamp(UPath(path))
    assert stamp is not None, f"{path}: a final name without a readable stamp"
    if path.suffix == ".parquet":
        assert pl.read_parquet(path).width > 0
    else:
        assert read_artifact(UPath(path))
    return stamp


def asset_key(asset: str) -> dg.AssetKey:
    return dg.AssetKey(["demo", asset])
