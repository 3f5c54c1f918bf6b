"""What agents are shown: weights that a book keeps, inputs that know nothing of later days."""

import numpy as np
import polars as pl
import pytest

from quant_core.allocation.learning.blocks import Compression
from quant_core.allocation.learning.inputs import kept_weights

NAN = float("nan")


def test_what_a_book_keeps_is_what_it_holds_by_then() -> None:
    wanted = np.array([[0.5, 0.3, 0.0], [NAN, NAN, 0.1], [0.2, 0.0, NAN]])
    level = np.array([[1.0, 1.0, 1.0], [1.2, 1.0, 1.0], [1.2, 1.0, 2.0]])
    found = kept_weights(wanted, level, np.ones((3, 3), dtype=np.bool_))
    equity = 0.5 * 1.2 + 0.3 + 0.2  # 0.2 is cash
    assert found[0] == pytest.approx(wanted[0])
    assert found[1] == pytest.approx([0.6 / equity, 0.3 / equity, 0.1])
    cash = 1.0 - found[1].sum()
    assert found[2] == pytest.approx([0.2, 0.0, 0.2 / (found[1][:2].sum() + 0.2 + cash)])


def test_kept_names_leave_room_for_the_named_ones_only_as_far_as_there_is_some() -> None:
    wanted, level = np.array([[0.8, 0.0], [NAN, 0.5]]), np.ones((2, 2))
    assert kept_weights(wanted, level, np.ones((2, 2), dtype=np.bool_))[1] == pytest.approx([0.8, 0.2])


def test_what_the_first_decision_keeps_is_taken_to_be_alike_among_names_that_may_be_bought() -> None:
    wanted, level = np.array([[0.4, NAN, NAN, NAN]]), np.ones((1, 4))
    eligible = np.array([[True, True, True, False]])
    assert kept_weights(wanted, level, eligible)[0] == pytest.approx([0.4, 0.3, 0.3, 0.0])


def test_embeddings_are_compressed_to_their_principal_components_with_unit_variance() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((200, 2)) @ np.array([[3.0, 1.0, 0.0, 0.5], [0.0, 1.0, -1.0, 0.2]])
    keys = {"date": [None] * 200, "ticker": [""] * 200}
    table = pl.DataFrame(keys, schema={"date": pl.Date, "ticker": pl.String}).with_columns(
        pl.Series(f"e{k}", rows[:, k]) for k in range(4)
    )
    found = Compression.of(table, 2)
    assert found is not None
    made = found(table)
    assert made.std(axis=0, ddof=1) == pytest.approx([1.0, 1.0])
    assert np.corrcoef(made.T)[0, 1] == pytest.approx(0.0, abs=1e-9)
    assert Compression.of(table, 0) is None
    assert Compression.of(table.select("date", "ticker"), 2) is None
