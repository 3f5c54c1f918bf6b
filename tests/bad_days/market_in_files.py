"""A small market in exchange files, refreshed day by day through the whole lab, and what can go wrong with it.

The market is the simulator's, written as NSE's daily files with the index, the actions and the members beside them. Its
lab is brought up to date to the end of February 2020 once; every test starts from that state and refreshes March.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from upath import UPath

from quant_assets.assembly import build_definitions
from quant_assets.commands.runner import RunFailed, Runner
from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_assets.storage.partition_files import read_artifact, read_tables, table_path
from quant_assets.storage.table_files import read_table
from quant_core.market.sources.simulated import SimulatedSource

START, BUILT, END = date(2018, 1, 1), date(2020, 2, 29), date(2020, 3, 31)
#: From here on a file a session; what came before is one file, which no test touches and every refresh reads.
DAILY_FROM = date(2020, 1, 1)
SOURCE = SimulatedSource(
    n_tickers=20, n_sectors=4, seed=5, start=START, missing_rate=0.0, late_listing_sessions=40, delisting_sessions=5000
)
INDEX, TRI = "^NSEI", "NIFTY 50 TRI"
COST_BPS = 20.0
PRESETS = {
    "features": {
        "names": ["log_returns", "realized_volatility", "momentum"], "windows": [1, 5, 21], "zscore_lookback": 21,
        "min_history_sessions": 60,
    },
    "forecaster_ridge": {"horizon_sessions": 5, "importance_dates": 5},
    "target_weights": {"rebalance": "weekly", "lookback_sessions": 60, "momentum_sessions": 60},
    "backtest": {
        "cost_model": "flat", "commission_bps": COST_BPS, "slippage_bps": 0, "spread_bps": 0,
        "risk_free_rate_ann": 0.0, "capital_levels_inr": [1e7],
    },
}  # fmt: skip


@dataclass
class Market:
    """Exchange files in a folder and the lab that reads them; `rows` is what truly happened."""

    folder: Path
    rows: pl.DataFrame
    profile: dict[str, Any] = field(default_factory=dict)

    @property
    def sessions(self) -> list[date]:
        """Sessions of March 2020."""
        return [day for day in self.rows["date"].unique().sort().to_list() if day > BUILT]

    # ---- files ------------------------------------------------------------------------------------------------------

    def write_day(self, day: date, rows: pl.DataFrame | None = None) -> None:
        """The daily file of the stocks; `rows` instead of what truly happened."""
        own = (self.rows if rows is None else rows).filter(pl.col("date") == day)
        self._write_bars(own, f"sec_bhavdata_full_{day:%d%m%Y}.csv")

    def write_history(self) -> None:
        """Everything before the daily files, and the daily files up to the end of February."""
        self._write_bars(self.rows.filter(pl.col("date") < DAILY_FROM), "history.csv")
        for day in self.rows["date"].unique().to_list():
            if DAILY_FROM <= day <= BUILT:
                self.write_day(day)

    def _write_bars(self, rows: pl.DataFrame, file: str) -> None:
        """A file as NSE writes it; none where there are no rows."""
        own, name = rows.filter(pl.col("instrument") == "equity"), self.folder / "prices" / file
        if own.is_empty():
            name.unlink(missing_ok=True)
            return
        own.select(
            SYMBOL="symbol", SERIES=pl.coalesce("series", pl.lit("EQ")), DATE1=pl.col("date").dt.strftime("%d-%b-%Y"),
            PREV_CLOSE="prev_close_inr", OPEN_PRICE="open_inr", HIGH_PRICE="high_inr", LOW_PRICE="low_inr",
            CLOSE_PRICE="close_inr", TTL_TRD_QNTY="volume_shares", TURNOVER_LACS=pl.col("turnover_inr") / 1e5,
        ).write_csv(name)  # fmt: skip

    def write_index(self, until: date = END, without: tuple[date, ...] = ()) -> None:
        """Levels of the price and the total-return index."""
        own = self.rows.filter(pl.col("instrument") == "index", pl.col("date") <= until)
        own = own.filter(~pl.col("date").is_in(list(without)))
        own.select(
            "date", index="ticker", open="open_inr", high="high_inr", low="low_inr", close="close_inr"
        ).write_csv(self.folder / "prices" / "index.csv")

    def write_actions(self, until: date = END) -> None:
        """The list of splits and dividends, as it was known at `until`."""
        own = self.rows.filter(pl.col("date") <= until)
        lines = ["ticker,ex_date,kind,value,source,known_until"]
        for day, ticker, factor, paid in own.select("date", "ticker", "price_factor", "dividend_inr").iter_rows():
            if factor != 1.0:
                lines.append(f"{ticker},{day},split_or_bonus_confirmed,{factor!r},list,{until}")
            if paid > 0.0:
                lines.append(f"{ticker},{day},dividend,{paid!r},list,{until}")
        (self.folder / "prices" / "corporate_actions.csv").write_text("\n".join(lines) + "\n")

    def write_members(self, *lines: str) -> None:
        """The folder's own list of members: everything from the start on, or the given lines."""
        own = lines or tuple(f"{ticker},{START},,2020-12-31" for ticker in SOURCE.tickers)
        text = "\n".join(["ticker,from_date,to_date,known_until", *own]) + "\n"
        (self.folder / "members.csv").write_text(text)

    def write_march(self, rows: pl.DataFrame | None = None, until: date = END) -> None:
        """Every file of March."""
        for day in self.sessions:
            if day <= until:
                self.write_day(day, rows)

    # ---- the lab ----------------------------------------------------------------------------------------------------

    def runner(self, instance: dg.DagsterInstance) -> Runner:
        overrides: dict[str, Any] = {
            "source": {"name": "files", "path": str(self.folder / "prices")},
            "universe": str(self.folder / "members.csv"),
            "start": "2018-01", "end": "2020-03", "first_fold": "2020", "train_years": "2",
            "total_return_index": TRI, "presets": PRESETS, "models": ["ridge"], "regimes": [], "agents": [],
        }  # fmt: skip
        profile = load_profile("demo", overrides | self.profile)
        return Runner(Lab(profile), build_definitions(profile), instance, {})

    def refresh(self, last: str = "2020-03", *until: str) -> "Books":
        """Bring the lab up to date, as `quant refresh` does; raises RunFailed where it stops."""
        with dg.DagsterInstance.ephemeral() as instance:
            runner = self.runner(instance)
            for asset, partitions in runner.wanted(*runner.month_range(None, last), until=until).items():
                for step in runner.steps(asset, runner.stale(asset, partitions)):
                    runner.execute(step)
            return Books(runner.lab)

    def books(self, last: str = "2020-03") -> "Books":
        """Bring the lab up to date as far as the books, for who reads no evaluation and no report."""
        return self.refresh(last, "backtest")

    def failure(self, last: str = "2020-03", *until: str) -> str:
        """The message with which a refresh stops."""
        with pytest.raises(RunFailed) as caught:
            self.refresh(last, *until)
        return str(caught.value)


@dataclass(frozen=True)
class Books:
    """What a refresh left."""

    lab: Lab

    def table(self, name: str) -> pl.DataFrame:
        """A table of the backtest."""
        path = UPath(self.lab.root) / self.lab.profile.name / "backtest" / "2020.json"
        return read_table(read_artifact(path), name)

    def month(self, asset: str, month: str = "2020-03") -> pl.DataFrame:
        """A stored month of an asset."""
        return read_tables([table_path(self.lab.root, self.lab.key(asset), month)]).collect()

    def equity(self, strategy: str) -> dict[date, float]:
        """Rupees after each close."""
        own = self.table("daily").filter(pl.col("strategy") == strategy).sort("date")
        return dict(own.select("date", "equity_inr").iter_rows())

    def held(self, strategy: str, day: date) -> dict[str, float]:
        """Rupees by name after the close."""
        own = self.table("positions").filter(pl.col("strategy") == strategy, pl.col("date") == day)
        return dict(own.select("ticker", "value_inr").iter_rows())

    def trades(self, strategy: str, day: date) -> pl.DataFrame:
        return self.table("trades").filter(pl.col("strategy") == strategy, pl.col("date") == day)

    def report(self, file: str = "summary.md") -> str:
        """The report's summary, or the page."""
        path = UPath(self.lab.root) / self.lab.profile.name / "backtest_report" / "2020.json"
        return read_artifact(path)[file].decode()


def simulated_rows() -> pl.DataFrame:
    """Raw rows of the whole market, with the exchange's previous close."""
    rows = SOURCE.fetch(None, START, END, datetime.combine(END, time(23, 0)).astimezone()).rows
    before = pl.col("close_inr").shift(1).over("ticker", order_by="date")
    return rows.with_columns(prev_close_inr=pl.coalesce(before, "open_inr"), series=pl.lit("EQ"))
