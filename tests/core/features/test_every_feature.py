"""What holds for every registered feature; a new one is covered by being registered, with its twin in its own test.

Twins are found in the test files beside this one (see `naive.py`).
"""

import importlib
import math
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import TWINS, rows_of

from quant_core.calendar import sessions
from quant_core.features import FEATURES
from quant_core.features.panel import Panel, build_panel

HISTORY = 15
for path in sorted(Path(__file__).parent.glob("test_feature_*.py")):
    importlib.import_module(path.stem)


def check_against_twins(panel: Panel, names: list[str]) -> None:
    tickers = rows_of(panel)
    for name in names:
        owners = tickers[:1] if FEATURES[name].scope == "market" else tickers
        for windows in {twin.windows for twin in TWINS[name]}:
            found = FEATURES[name].function(panel, windows)
            for twin in (twin for twin in TWINS[name] if twin.windows == windows):
                for w in windows if "{w}" in twin.column else windows[:1]:
                    column = twin.column.format(w=w, sixth=w // 6)
                    wanted = [[twin.naive(own, t, w) for t in range(len(panel.days))] for own in owners]
                    np.testing.assert_allclose(found[column], wanted, rtol=1e-9, atol=1e-9, err_msg=f"{name} {column}")


def panel_of(prices: pl.DataFrame, sectors: pl.DataFrame) -> Panel:
    reads = tuple(dict.fromkeys(column for name in FEATURES for column in FEATURES[name].reads))
    rows = prices.filter(pl.col("instrument") == "equity")
    index = prices.filter(pl.col("instrument") == "index")
    return build_panel(rows, reads, index=index, sectors=sectors, min_history_sessions=HISTORY)


@pytest.mark.parametrize("name", list(FEATURES))
def test_a_feature_has_a_naive_twin(name: str) -> None:
    module = FEATURES[name].function.__module__.rpartition(".")[2]
    assert TWINS.get(name), f"write a naive twin: @twin({name!r}, column) in test_feature_{module}.py, see naive.py"


def test_there_is_no_twin_of_a_feature_that_is_gone() -> None:
    assert set(TWINS) <= set(FEATURES)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_features_equal_naive_loops_on_random_panels(make_random_prices, sectors, seed: int) -> None:
    first = sessions(date(2012, 1, 1), date(2014, 1, 1))[17 * seed]  # another place in the blocks each time
    prices = make_random_prices(6, 110, seed=seed, first=first, gap_share=0.03)
    check_against_twins(panel_of(prices, sectors), list(TWINS))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.integers(-500, 1000).map(lambda k: k / 1000), st.sampled_from([0.0, 0.01]), st.none(), st.just(math.nan)
        ),
        min_size=40,
        max_size=60,
    ),
    late=st.integers(0, 25),
    early=st.integers(15, 40),
    holes=st.sets(st.integers(1, 39), max_size=4),
    offset=st.integers(0, 400),
    seed=st.integers(0, 1000),
)
def test_features_equal_naive_loops_on_any_panel(
    make_prices, sectors, steps, late: int, early: int, holes: set[int], offset: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    moves = random.normal(0.0, 0.02, (4, len(steps)))
    returns = {
        "T00": [0.0, *steps[1:-1], 0.01],
        "T01": [math.nan] * late + list(moves[0, late:]),
        "T02": list(moves[1, :early]),
        "T04": list(moves[2]),
        "^NSEI": [math.nan if s in holes else step for s, step in enumerate(moves[3])],
    }
    prices = make_prices(returns, first=sessions(date(2012, 1, 1), date(2014, 12, 31))[offset])
    check_against_twins(panel_of(prices, sectors), list(TWINS))


def test_every_docstring_says_what_comes_in_and_out() -> None:
    for name in FEATURES:
        entry = FEATURES[name]
        text = entry.function.__doc__ or ""
        assert entry.summary.endswith("."), name
        assert all(section in text for section in ("Args:", "Returns:")), name
        assert text.count("windows:") == 1, name
