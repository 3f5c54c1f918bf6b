"""What the assets forecast_quality and forecast_comparison store of a fold, read back."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from quant_assets.asset_names import FORECASTER
from quant_assets.fitting import PERMUTATION
from quant_assets.lab import Lab
from quant_assets.storage.partition_files import pointer_path, read_artifact
from quant_assets.storage.table_files import read_table
from quant_core.errors import DataError
from quant_core.schema import ForecastImportance, validate

QUALITY, COMPARISON = "forecast_quality", "forecast_comparison"


@dataclass(frozen=True)
class ForecastTables:
    """Tables about every model's forecasts; each follows the schema that its comment names."""

    scorecard: pl.DataFrame  # ForecastScorecard
    pit: pl.DataFrame  # ForecastPit
    reliability: pl.DataFrame  # ForecastReliability
    pairs: pl.DataFrame  # ForecastComparison
    contributions: pl.DataFrame  # ForecastContribution

    @classmethod
    def of(cls, quality: Mapping[str, bytes], comparison: Mapping[str, bytes]) -> "ForecastTables":
        """From the files of both artifacts."""
        return cls(
            *(read_table(dict(quality), name) for name in ("scorecard", "pit", "reliability")),
            *(read_table(dict(comparison), name) for name in ("pairs", "contributions")),
        )


def importance_of(forecasters: Mapping[str, Mapping[str, bytes]]) -> pl.DataFrame:
    """ForecastImportance from the artifacts of a fold, by asset; a fit that measured none has no row."""
    tables: list[pl.DataFrame] = [ForecastImportance.create_empty()]
    for asset in sorted(forecasters):
        if f"{PERMUTATION}.parquet" in forecasters[asset]:
            found = read_table(dict(forecasters[asset]), PERMUTATION)
            tables.append(found.select(pl.lit(asset.removeprefix(FORECASTER)).alias("model"), pl.all()))
    return validate(pl.concat(tables), ForecastImportance, "importance", "report it: a fit broke the contract.")


def stored_folds(lab: Lab) -> list[str]:
    """Folds of which both artifacts are stored, oldest first."""
    folds = lab.partitions.folds.get_partition_keys()
    keys = [lab.key(name) for name in (QUALITY, COMPARISON)]
    return [fold for fold in folds if all(pointer_path(lab.root, key, fold).exists() for key in keys)]


def stored_tables(lab: Lab, fold: str | None = None) -> tuple[str, ForecastTables]:
    """A fold, the newest by default, and its tables.

    Raises:
        DataError: it is not stored.
    """
    folds = stored_folds(lab)
    if not folds or (fold is not None and fold not in folds):
        which = f" of fold {fold}" if fold else ""
        raise DataError(
            f"{lab.profile.name}: no comparison of forecasts{which} is stored under {lab.root} (there are "
            f"{', '.join(folds) or 'none'}); make it with `quant run --stages {QUALITY},{COMPARISON}`."
        )
    chosen = fold or folds[-1]
    files = [read_artifact(pointer_path(lab.root, lab.key(name), chosen)) for name in (QUALITY, COMPARISON)]
    return chosen, ForecastTables.of(*files)
