"""A search inside a fit window: it finds what the validation slice prefers, repeats itself, and sees no test."""

from dataclasses import fields, replace

import polars as pl
import pytest

from quant_core.errors import DataError
from quant_core.forecasting import MODELS
from quant_core.forecasting.search import SPACES, Span, search
from quant_core.forecasting.validation import with_rank_ic
from tests.core.forecasting.model_cases import FOLD, Case, case_of

optuna = pytest.importorskip("optuna")
pytestmark = pytest.mark.slow
TOLD: list[tuple[int, float]] = []


def log(epoch: int, values: object) -> None:
    TOLD.append((epoch, values["search_rank_ic"]))  # type: ignore[index]


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of("ridge")


def test_the_best_try_is_kept_and_the_same_seed_tries_the_same(case: Case) -> None:
    TOLD.clear()
    one, two = (search(case.model, case.data, case.config, 4, log) for _ in range(2))
    assert one.tries.equals(two.tries)
    assert one.fitted.content_hash == two.fitted.content_hash
    assert one.tries["number"].to_list() == list(range(5))
    best = one.tries.sort("rank_ic", "number", descending=[True, False]).row(0, named=True)
    assert one.tries.filter("is_chosen").row(0, named=True) == best
    assert len(TOLD) == 2 * one.tries["rank_ic"].count()
    again = with_rank_ic(
        case.model.fit(case.data, replace(case.config, **one.chosen), lambda epoch, values: None), case.data.at(5)
    )
    assert again.content_hash == one.fitted.content_hash
    other = search(case.model, case.data, replace(case.config, seed=8), 2, log)
    assert other.tries["settings"][1] != one.tries["settings"][1]


def test_nothing_that_follows_the_fit_window_changes_a_try(case: Case) -> None:
    later = case.features.with_columns(
        pl.when(pl.col("date") >= FOLD.test_start).then(-pl.col("noise")).otherwise("noise").alias("noise")
    )
    assert not later.equals(case.features)
    shifted = replace(case, features=later)
    found = search(case.model, case.data, case.config, 2, log)
    assert search(case.model, shifted.data, case.config, 2, log).tries.equals(found.tries)
    assert found.fitted.manifest.fit_end < FOLD.test_start


def test_a_try_that_cannot_be_fitted_is_a_try_and_no_end(case: Case) -> None:
    def fit(data: object, config: object, tell: object) -> object:
        if config.alpha is not None and config.alpha > 0.05:  # type: ignore[attr-defined]
            raise DataError("ridge: no")
        return case.model.fit(data, config, tell)  # type: ignore[arg-type]

    found = search(replace(case.model, fit=fit), case.data, case.config, 6, log)
    assert 0 < found.tries["rank_ic"].null_count() < 7
    assert found.tries.filter("is_chosen")["rank_ic"].null_count() == 0

    def broken(data: object, config: object, tell: object) -> object:
        raise DataError("ridge: never")

    with pytest.raises(DataError, match="no try has a rank IC"):
        search(replace(case.model, fit=broken), case.data, case.config, 2, log)


def test_what_is_searched_are_settings_and_their_values_are_allowed() -> None:
    for name, space in SPACES.items():
        kind = MODELS[name].config_class
        assert set(space) <= {f.name for f in fields(kind)}, name
        for setting, candidates in space.items():
            values = (candidates.low, candidates.high) if isinstance(candidates, Span) else candidates
            for value in values:
                kind(**{setting: value})


def test_a_model_without_a_space_is_refused(case: Case) -> None:
    with pytest.raises(DataError, match="nothing of it is searched; choose one of"):
        search(replace(case.model, name="other"), case.data, case.config, 2, log)
