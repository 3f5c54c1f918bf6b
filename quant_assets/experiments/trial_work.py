"""What a trial does with what is stored: fit its forecaster fold by fold, score, decide, and trade one book.

It reads prices, features and labels where the main assets left them, and writes nothing that they read. A fold's fit is
kept under what it was made from, so that a trial that was killed goes on with the next fold, and trials that differ in
the book alone share their fits.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import polars as pl
from upath import UPath

from quant_assets.assets.book_settings import said_of
from quant_assets.assets.evaluation import test_end
from quant_assets.assets.models import training_data
from quant_assets.currency.fingerprints import stored_stamp
from quant_assets.experiments.trial_keys import Variant, variant_of
from quant_assets.lab import Lab
from quant_assets.partitions import first_month
from quant_assets.storage.io_manager import missing_partitions
from quant_assets.storage.partition_files import (
    local_path,
    pointer_path,
    read_artifact,
    read_stamp,
    read_tables,
    table_path,
    write_artifact,
)
from quant_assets.storage.table_files import read_table, table_files
from quant_core.allocation.book_settings import CHOSEN_BY, fit_book_settings
from quant_core.allocation.strategy import first_known_day, path_start
from quant_core.allocation.targets import decide_all
from quant_core.backtest.guard import fits_of
from quant_core.backtest.simulate import Backtest, simulate
from quant_core.calendar import sessions_before
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Journal, Log, frame_hash
from quant_core.folds import Fold, fold
from quant_core.forecasting.evaluate import evaluate_forecasts
from quant_core.forecasting.model import forecasts, with_calibration
from quant_core.forecasting.search import TRIES, search
from quant_core.forecasting.validation import with_rank_ic
from quant_core.market.lists import price_returns_after
from quant_core.schema import BookSettings

#: What a trial reads of each month.
MONTHLY = ("clean_prices", "features")
TRIES_TABLE = "tries"


@dataclass(frozen=True)
class Traded:
    """What a trial's book did: the backtest of the one book, its scores, and their quality."""

    backtest: Backtest
    scores: pl.DataFrame
    quality: pl.DataFrame


def tested_folds(lab: Lab) -> list[str]:
    """Folds whose first month is stored, from the first one on.

    Raises:
        DataError: none is.
    """
    folds = lab.partitions.folds.get_partition_keys()
    found = []
    for name in folds:
        if any(stored_stamp(lab.root, lab.key(asset), first_month(name)) is None for asset in MONTHLY):
            break
        found.append(name)
    if not found:
        raise missing_partitions(lab.key("features"), [first_month(folds[0])] if folds else ["none"])
    return found


def fits_folder(lab: Lab) -> UPath:
    """Where the fits of trials under way are kept."""
    return lab.root / ".checkpoints" / lab.profile.name / "trial_fits"


def fit_pointer(lab: Lab, variant: Variant, name: str) -> UPath:
    """Where the fit of a fold is, or will be, kept: named by the forecaster's settings and the content it is made from.

    Raises:
        DataError: an upstream partition is missing.
    """
    own = fold(name, lab.profile.train_years)
    made_from = [
        _stamp(lab, "training_window", name),
        *(_stamp(lab, "features", m) for m in _fit_months(lab, variant, own)),
    ]
    if variant.entry.needs_encoder:
        made_from.append(_stamp(lab, "encoder", name))
    threshold = lab.defaults("training_window").direction_threshold
    told = [variant.model, asdict(variant.forecaster), variant.tries, model_code(lab, variant), threshold, *made_from]
    digest = hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()[:16]
    return fits_folder(lab) / f"{variant.model}-{name}-{digest}.json"


def drop_kept_fits(lab: Lab) -> None:
    """Remove the fits of trials that are finished; call it when none is under way."""
    folder = local_path(fits_folder(lab))
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def model_code(lab: Lab, variant: Variant) -> str:
    """Hash of the code that the trial's forecaster and book reach."""
    from quant_assets.currency.closure import reach
    from quant_assets.currency.fingerprints import code_version
    from quant_core.allocation import STRATEGIES
    from quant_core.forecasting import MODELS

    return code_version(reach(lab.tree, (MODELS.entry(variant.model), STRATEGIES.entry(variant.book))), {})


def fit_fold(lab: Lab, variant: Variant, name: str, log: Log) -> tuple[Fitted, bool]:
    """The fitted fold, and whether it was kept from before; otherwise it is now."""
    pointer = fit_pointer(lab, variant, name)
    if read_stamp(pointer) is not None:
        return kept_fit(pointer)[0], True
    own, checkpoints = fold(name, lab.profile.train_years), local_path(pointer.with_suffix(".training"))
    if checkpoints is not None and not variant.tries:  # a network goes on from its last epoch after a kill
        log = Journal(log, checkpoints)
    fitted, tries = _fit(lab, variant, training_data(_fit_inputs(lab, variant, own), own), log)
    write_artifact(pointer, fitted.to_bytes() | table_files(**{TRIES_TABLE: tries}), pointer.stem)
    if checkpoints is not None:
        shutil.rmtree(checkpoints, ignore_errors=True)
    return fitted, False


def kept_fit(pointer: UPath) -> tuple[Fitted, pl.DataFrame]:
    """A kept fit, and the tries of its search."""
    files = read_artifact(pointer)
    tries = read_table(files, TRIES_TABLE)
    del files[f"{TRIES_TABLE}.parquet"]
    return Fitted.from_bytes(files, pointer.stem), tries


def _fit(lab: Lab, variant: Variant, data: Any, log: Log) -> tuple[Fitted, pl.DataFrame]:
    """A fit as the forecaster's own asset makes it; with a search where the variant has tries."""
    settings, tries = variant.forecaster, pl.DataFrame(schema=TRIES)
    if variant.tries:
        found = search(variant.entry, data, settings, variant.tries, log)
        settings, fitted, tries = replace(settings, **found.chosen), found.fitted, found.tries
    else:
        fitted = with_rank_ic(variant.entry.fit(data, settings, log), data.at(settings.horizon_sessions))
    threshold = lab.defaults("training_window").direction_threshold
    return with_calibration(fitted, data, settings, threshold), tries


def _fit_inputs(lab: Lab, variant: Variant, own: Fold) -> dict[str, Any]:
    """What the forecaster's asset would be handed."""
    inputs: dict[str, Any] = {
        "training_window": {own.name: read_artifact(pointer_path(lab.root, lab.key("training_window"), own.name))},
        "features": months_of_table(lab, "features", _fit_months(lab, variant, own)),
    }
    if variant.entry.needs_encoder:
        inputs["encoder"] = {own.name: read_artifact(pointer_path(lab.root, lab.key("encoder"), own.name))}
    return inputs


def _fit_months(lab: Lab, variant: Variant, own: Fold) -> list[str]:
    """Months before a fold that its fit reads: the training years, and the model's context before them."""
    context = variant.entry.context_sessions(variant.forecaster)
    return months_between(lab, sessions_before(own.train_start, context) if context else own.train_start, own.train_end)


def trade(lab: Lab, variant: Variant, fitted: Mapping[str, Fitted]) -> Traded:
    """Scores of every fold, the book that follows them, and its account net of the profile's costs.

    Args:
        fitted: fold -> fit, without a gap from the first fold on.
    Raises:
        DataError: the book decided nothing.
    """
    names = sorted(fitted)
    begin, end = fold(names[0]).test_start, test_end(lab, names[-1], MONTHLY, None)
    context = variant.entry.context_sessions(variant.forecaster)
    oldest = sessions_before(begin, context) if context else begin
    features = months_of_table(lab, "features", months_between(lab, oldest, end))
    scores = forecasts(variant.entry, fitted, features, begin, end, context)
    known = months_between(lab, min(first_known_day(path_start(begin), variant.allocation), begin), end)
    prices = months_of_table(lab, "clean_prices", known).collect()
    sectors = lab.sectors()
    chosen = _chosen_settings(lab, variant, fitted, prices, sectors)
    decided = decide_all(prices, scores, variant.allocation, begin, end, None, None, chosen, sectors)
    tested = pl.col("date").is_between(begin, end)
    account = replace(lab.defaults("backtest"), until=None, capital_levels_inr=())
    price_after = price_returns_after(lab.dividends_known_until(), end)
    prices = prices.filter(tested)
    result = simulate(prices, decided.weights, account, fits_of(scores), price_after)
    found = result.daily["strategy"].unique().to_list()
    if len(found) != 1:
        raise DataError(f"trial {variant.key}: {len(found)} books ({sorted(found)}); wanted one: report it as a bug.")
    quality = evaluate_forecasts(scores, features.filter(tested), prices).quality
    return Traded(result, scores, quality.filter(pl.col("model") == variant.model))


def _chosen_settings(
    lab: Lab, variant: Variant, fitted: Mapping[str, Fitted], prices: pl.DataFrame, sectors: pl.DataFrame
) -> pl.DataFrame:
    """BookSettings of the folds, for a book that chooses some on validation slices."""
    parts: list[pl.DataFrame] = [BookSettings.create_empty()]
    if variant.book in CHOSEN_BY:
        for name, one in fitted.items():
            before = prices.filter(pl.col("date") < fold(name).test_start)
            said = said_of({variant.model: one})
            parts.append(fit_book_settings(name, said, before, variant.allocation, lab.defaults("backtest"), sectors))
    return pl.concat(parts)


def months_between(lab: Lab, first: date, last: date) -> list[str]:
    """Months of the profile from the one of `first` to the one of `last`; fewer where it begins later."""
    known = lab.partitions.months.get_partition_keys()
    return [month for month in known if f"{first:%Y-%m}" <= month <= f"{last:%Y-%m}"]


def months_of_table(lab: Lab, asset: str, months: Sequence[str]) -> pl.LazyFrame:
    """Stored months of an asset.

    Raises:
        DataError: one is missing; names it.
    """
    paths = {month: table_path(lab.root, lab.key(asset), month) for month in months}
    missing = [month for month, path in paths.items() if not path.exists()]
    if missing:
        raise missing_partitions(lab.key(asset), missing)
    return read_tables(list(paths.values()))


def made_from(lab: Lab, key: str) -> str:
    """Digest of the settings, code and stored content that a trial would be made from now; missing parts count so."""
    variant = variant_of(lab, key)
    months = lab.partitions.months.get_partition_keys()
    folds = lab.partitions.folds.get_partition_keys()
    parents = [(asset, month) for asset in MONTHLY for month in months]
    parents += [("training_window", name) for name in folds]
    parents += [("encoder", name) for name in folds] if variant.entry.needs_encoder else []
    stamps = [stored_stamp(lab.root, lab.key(asset), name) for asset, name in parents]
    told = [
        variant.model, asdict(variant.forecaster), variant.book, asdict(variant.allocation), variant.tries,
        asdict(lab.defaults("backtest")), model_code(lab, variant), frame_hash(lab.sectors()),
        str(lab.dividends_known_until()), lab.defaults("training_window").direction_threshold,
        [stamp.content_hash if stamp else "missing" for stamp in stamps],
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()


def _stamp(lab: Lab, asset: str, partition: str) -> str:
    stamp = stored_stamp(lab.root, lab.key(asset), partition)
    if stamp is None:
        raise missing_partitions(lab.key(asset), [partition])
    return stamp.content_hash
