"""The ledger against vectorbt, from a stored run of benchmarks/peers/vectorbt_golden.py."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from quant_core.calendar import sessions
from quant_core.trading.costs import FlatCosts
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import Rules, run_ledger
from quant_core.trading.market import Market

GOLDEN = json.loads((Path(__file__).parent / "golden" / "vectorbt.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(GOLDEN["cases"]))
def test_equity_and_cash_equal_vectorbt(name):
    case, open_inr, close_inr = GOLDEN["cases"][name], np.array(GOLDEN["open_inr"]), np.array(GOLDEN["close_inr"])
    overnight = np.full_like(open_inr, np.nan)
    overnight[1:] = open_inr[1:] / close_inr[:-1] - 1.0
    targets = np.full_like(open_inr, np.nan)
    for row, weights in case["targets"].items():
        targets[int(row)] = weights
    days = sessions(date(2020, 1, 1), date(2020, 12, 31))[: len(open_inr)]

    book = run_ledger(
        Market(overnight, close_inr / open_inr - 1.0, np.ones_like(open_inr, dtype=bool)),
        Decisions.from_dense(targets),
        FlatCosts(case["fee_rate"] * 1e4, 0.0, 0.0).schedule(days),
        Rules(fill=case["fill"]),
        GOLDEN["initial_capital"],
    )

    np.testing.assert_allclose(book.equity, case["equity"], rtol=1e-9)
    np.testing.assert_allclose(book.cash, case["cash"], rtol=1e-9, atol=1e-9 * GOLDEN["initial_capital"])
    assert book.n_fills.sum() > 20
    assert np.ptp(book.equity) > 0.01 * GOLDEN["initial_capital"]
