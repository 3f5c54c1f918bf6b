"""The page about forecasters says what the code does: its example is followed to the letter and certified."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from docs_pages import saved
from model_cases import FOLD, case_of, certify

import quant_core.forecasting.models as package
from quant_core.calendar import sessions_before
from quant_core.forecasting import MODELS

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "adding-a-model.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)[0]
(NAME,) = re.findall(r"Save it as `quant_core/forecasting/models/(\w+)\.py`", GUIDE)


@pytest.fixture
def last_five(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page's file, saved under the page's name in a folder that the package looks into."""
    with saved(NAME, CODE, tmp_path, package, MODELS, monkeypatch) as saved_name:
        yield saved_name


def test_the_guides_model_does_what_it_says_and_passes_the_checks_that_the_page_promises(last_five: str) -> None:
    case = case_of(last_five)
    fitted = case.fit()
    assert fitted.to_bytes() == case.fit().to_bytes()
    certify(case)
    weights = fitted.arrays["weights"]
    assert np.abs(weights).argmax() == 0  # the signal is in the newest session
    rows = case.features.filter(pl.col("ticker") == "T05").sort("date")["log_return_1d"].to_numpy()
    day = case.features.filter(pl.col("ticker") == "T05").sort("date")["date"].to_list().index(date(2020, 2, 3))
    by_hand = sum(weights[k] * rows[day - k] for k in range(5))
    scores = case.scores(fitted, case.features)
    found = scores.filter(pl.col("date") == date(2020, 2, 3), pl.col("ticker") == "T05")["score"].item()
    assert found == pytest.approx(by_hand, rel=1e-12)


def test_it_trains_on_the_sessions_before_the_first_label(last_five: str) -> None:
    case = case_of(last_five)
    without = case.features.filter(pl.col("date") >= FOLD.train_start)
    cut = type(case)(without, case.labels, case.forward, case.model)
    assert case.fit().manifest.n_rows - cut.fit().manifest.n_rows == 4 * 19
    assert case.context_sessions == 4
    assert sessions_before(FOLD.train_start, 4) < FOLD.train_start


def test_the_guides_model_shows_up_in_the_printed_list_and_is_gone_with_its_file(last_five: str) -> None:
    from quant_assets.commands.listing import LISTINGS

    _, rows = LISTINGS["models"]()
    assert [last_five, "cpu", "Least squares on the last five sessions of one feature."] in rows


def test_removing_the_guides_file_removes_the_model() -> None:
    assert NAME not in set(MODELS)
