"""Decisions from lists and from dense tables, and what is refused by row and column."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_cases import NAN, SEEDS

from quant_core.errors import DataError
from quant_core.trading.decisions import Decisions


def listed(decisions):
    """{row: {name: amount}}"""
    named = {int(row): {} for row in decisions.rows}
    for row, name, amount in zip(decisions.row_of_target, decisions.names, decisions.amounts, strict=True):
        named[int(row)][int(name)] = float(amount)
    return named


def test_targets_in_any_order_are_sorted_by_session_and_name():
    made = Decisions.of([5, 2, 9], [9, 2, 9, 2], [1, 3, 0, 0], [0.1, 0.2, 0.3, 0.4])
    assert listed(made) == {2: {0: 0.4, 3: 0.2}, 5: {}, 9: {0: 0.3, 1: 0.1}}  # 5 sells everything
    assert made.start.tolist() == [0, 2, 2, 4]
    assert made.names.tolist() == [0, 3, 0, 1]
    assert made.row_of_target.tolist() == [2, 2, 9, 9]


@given(SEEDS, st.integers(1, 8), st.integers(1, 5))
def test_a_dense_table_says_the_same(seed, sessions, names):
    rng = np.random.default_rng(seed)
    table = rng.random((sessions, names)) / names * (rng.random((sessions, names)) < 0.6)
    table[rng.random(sessions) < 0.4] = NAN
    rows = {t: {i: w for i, w in enumerate(row) if w > 0.0} for t, row in enumerate(table.tolist()) if row[0] == row[0]}
    assert listed(Decisions.from_dense(table)) == rows


def test_no_decision_at_all_is_accepted():
    assert listed(Decisions.from_dense(np.full((3, 2), NAN))) == {}


@pytest.mark.parametrize(
    ("row", "column", "bad", "message"),
    [
        (2, 1, -0.1, "targets row 2 column 1 is -0.1"),
        (2, 1, np.inf, "targets row 2 column 1 is inf"),
        (2, 1, -np.inf, "targets row 2 column 1 is -inf"),
        (4, 2, NAN, "targets row 4 column 2 is nan beside numbers"),
        (0, 1, 0.9, r"targets row 0 sums to 1.1[0-9]* \(largest in column 1\)"),
    ],
)
def test_a_bad_target_is_named_by_row_and_column(row, column, bad, message):
    table = np.full((5, 3), 0.1)
    table[row, column] = bad
    with pytest.raises(DataError, match=f"ledger: {message}"):
        Decisions.from_dense(table)


def test_rounding_of_a_sum_is_accepted_credit_is_not_and_shares_are_any_number():
    assert len(Decisions.from_dense(np.full((2, 2), 0.5 + 2e-10)).rows) == 2
    with pytest.raises(DataError, match=r"sums to 1\.000000002"):
        Decisions.from_dense(np.full((2, 2), 0.5 + 1e-9))
    assert Decisions.from_dense(np.full((2, 2), 700.0), "shares").amounts.sum() == 2800.0


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (([3, 1], [0, 1, 2], [0, 0], [0.1, 0.1]), "decision rows do not ascend"),
        (([1, 1], [0, 1, 2], [0, 0], [0.1, 0.1]), "decision rows do not ascend"),
        (([-1], [0, 1], [0], [0.1]), "decision rows do not ascend"),
        (([1], [0, 2], [0, 0], [0.1, 0.1]), "targets row 1 column 0 repeats or is out of order"),
        (([1], [0, 2], [1, 0], [0.1, 0.1]), "targets row 1 column 0 repeats or is out of order"),
        (([1, 2], [0, 2], [0, 1], [0.1, 0.1]), "2 decisions with 2 starts"),
        (([1, 2], [0, 3, 2], [0, 1], [0.1, 0.1]), "rising from 0 to the number of targets, 2"),
        (([1], [1, 2], [0, 1], [0.1, 0.1]), "rising from 0 to the number of targets, 2"),
        (([1], [0, 2], [0, 1], [0.1]), "2 names with 1 amounts"),
    ],
)
def test_lists_that_do_not_fit_are_refused(parts, message):
    with pytest.raises(DataError, match=f"ledger: .*{message}"):
        Decisions(*(np.array(part) for part in parts))


def test_a_target_needs_its_decision_and_a_known_unit():
    with pytest.raises(DataError, match="a target is dated row 4, on which nothing was decided"):
        Decisions.of([3], [4], [0], [0.1])
    with pytest.raises(DataError, match="targets are in 'lots'; wanted 'weight' or 'shares'"):
        Decisions.from_dense([[0.1]], "lots")
