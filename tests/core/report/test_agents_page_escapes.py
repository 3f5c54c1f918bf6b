"""The page on agents shows hostile names as text."""

import re
from datetime import date

import polars as pl

from quant_core import schema
from quant_core.calendar import sessions
from quant_core.report.agents_page import AgentsInput, render_agents

EVIL = "</script><script>alert(1)</script>"
DAYS = sessions(date(2021, 1, 4), date(2021, 3, 31))


def rows(contract: type, n: int = 2, **given: object) -> pl.DataFrame:
    """`n` rows of a table: texts are hostile, numbers 0.5, days the first ones, whatever is not given."""
    made = {}
    for name, dtype in schema.dtypes_of(contract).items():
        value = given.get(name)
        if value is None:
            value = EVIL if dtype == pl.String else DAYS[:n] if dtype == pl.Date else True if dtype == pl.Boolean else 1
        made[name] = pl.Series(name, value if isinstance(value, list) else [value] * n, dtype=dtype, strict=False)
    return pl.DataFrame(made)


def test_text_from_the_tables_is_escaped_everywhere() -> None:
    data = AgentsInput(
        title=EVIL, profile=EVIL, start=DAYS[0], end=DAYS[-1],
        daily=rows(schema.BacktestDaily, len(DAYS), date=DAYS),
        benchmark=rows(schema.BenchmarkReturns, len(DAYS), date=DAYS),
        books=rows(schema.AgentBooks, 1), seeds=rows(schema.AgentSeeds, 2, seed=[1, 2]),
        leads=rows(schema.AgentLeads, 1),
        regimes=rows(schema.AgentRegimes, 1), years=rows(schema.AgentYears, 1),
        curves=pl.DataFrame({
            "agent": [EVIL], "fold": [EVIL], "seed": [1], "steps": [1], "validation_growth": [0.1],
            "validation_sharpe": [0.1],
        }),
        responsiveness=pl.DataFrame({"agent": [EVIL], "fold": [EVIL], "block": [EVIL], "weight_change": [0.1]}),
        untrained={EVIL: EVIL}, warnings=[EVIL], provenance={EVIL: EVIL, "run": "javascript:alert(1)"},
    )  # fmt: skip
    page = re.sub(r"<script>/\*\*\n\* plotly\.js.*?</script>", "", render_agents(data), flags=re.DOTALL)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert 'href="javascript' not in page
