"""Which settings a book is traded by: a fold's own choice, or the stated defaults."""

from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from quant_core.allocation.strategy import DecisionInputs


class BookRules(NamedTuple):
    """Settings that folds choose; what they do is told in `BookConfig`."""

    half_life_sessions: float
    sell_multiple: float
    quadratic_cost: float


def rules_by_fold(inputs: DecisionInputs, model: str) -> Callable[[str], BookRules]:
    """Fold -> settings of a model's books: those that it chose, and those of the configuration for the others."""
    default = BookRules(*(getattr(inputs.config, name) for name in BookRules._fields))
    chosen: dict[str, dict[str, float]] = {}
    rows = inputs.book_settings.filter("is_chosen", pl.col("model") == model)
    for fold, setting, value in rows.select("fold", "setting", "value").iter_rows():
        chosen.setdefault(fold, {})[setting] = value
    known = {fold: default._replace(**values) for fold, values in chosen.items()}
    return lambda fold: known.get(fold, default)
