"""The ledger against vectorbt, from a stored run of benchmarks/peers/vectorbt_golden.py."""

import json
from pathlib import Path

import numpy as np
import pytest

from quant_core.trading.costs import FlatCosts
from quant_core.trading.ledger import run_ledger

GOLDEN = json.loads((Path(__file__).parent / "golden" / "vectorbt.json").read_text())


@pytest.mark.parametrize("name", sorted(GOLDEN["cases"]))
def test_equity_and_cash_equal_vectorbt(name):
    case, open_inr, close_inr = GOLDEN["cases"][name], np.array(GOLDEN["open_inr"]), np.array(GOLDEN["close_inr"])
    overnight = np.full_like(open_inr, np.nan)
    overnight[1:] = open_inr[1:] / close_inr[:-1] - 1.0
    targets = np.full_like(open_inr, np.nan)
    for row, weights in case["targets"].items():
        targets[int(row)] = weights

    book = run_ledger(
        overnight,
        close_inr / open_inr - 1.0,
        targets,
        np.ones_like(open_inr, dtype=bool),
        costs=FlatCosts(case["fee_rate"] * 1e4, 0.0, 0.0),
        initial_capital=GOLDEN["initial_capital"],
        fill=case["fill"],
    )

    np.testing.assert_allclose(book.equity, case["equity"], rtol=1e-9)
    np.testing.assert_allclose(book.cash, case["cash"], rtol=1e-9, atol=1e-9 * GOLDEN["initial_capital"])
    assert book.n_fills.sum() > 20
    assert np.ptp(book.equity) > 0.01 * GOLDEN["initial_capital"]
