"""A seeded ReportInput with every table filled, of several strategies on real NSE sessions."""

from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core import schema
from quant_core.calendar import sessions
from quant_core.measures.overfitting import Overfitting
from quant_core.measures.performance import summary
from quant_core.report.inputs import ReportInput

CHOSEN = "top_n_boosting"
STRATEGIES = (CHOSEN, "top_n_ridge", "momentum", "equal_weight", "buy_hold_index")
MORE = ("min_variance", "inverse_volatility", "hierarchical_risk_parity", "equal_risk_contribution", "top_n_tft")
SECTORS = ("Banks", "IT", "Energy", "Autos", "Metals", "Pharma", "Consumer", "Telecom", "Cement", "Power")
REGIMES = ("Bull", "Sideways", "High volatility", "Crisis")
CAPITAL_INR = 1e7
CASH_1D = 0.00025
N_NAMES = 20


@pytest.fixture(scope="session")
def make_report_input() -> Callable[..., ReportInput]:
    """Build an input: make_report_input(start, end, seed, strategies)."""
    return build


def build(
    start: date = date(2015, 1, 1),
    end: date = date(2016, 12, 31),
    seed: int = 7,
    strategies: Sequence[str] = STRATEGIES,
) -> ReportInput:
    """Strategies that share a market factor with the benchmark."""
    rng = np.random.default_rng(seed)
    days = sessions(start, end)
    regimes = _regimes(len(days), rng)
    volatility = np.array([0.006, 0.009, 0.014, 0.028])[regimes]
    market = np.concatenate([[0.0], rng.normal(0.0006, 1.0, len(days))[1:] * volatility[1:] + 0.0004])
    daily = pl.concat([_daily(name, days, market, rng) for name in strategies])
    rows = [_measures(name, daily, market) for name in strategies]
    rows.append({"strategy": "benchmark", **summary(market, days, risk_free_rate_1d=CASH_1D)})
    metrics = pl.DataFrame(rows)
    quality = pl.concat([_quality(model, mean, days, rng) for model, mean in (("boosting", 0.02), ("ridge", 0.012))])
    return ReportInput(
        title="NIFTY 50 walk-forward backtest",
        profile="nifty50",
        strategy=CHOSEN,
        start=start,
        end=end,
        daily=daily.sort("date", "strategy"),
        benchmark=pl.DataFrame(
            {
                "date": days,
                "simple_return_1d": market,
                "series": "NIFTY 50 TRI",
                "risk_free_return_1d": [0.0] + [CASH_1D] * (len(days) - 1),
            }
        ),
        metrics=metrics,
        positions=_positions(strategies, days, rng),
        trades=_trades(strategies, days, rng),
        costs=_costs(strategies, days, rng),
        trips=_trips(strategies, days, rng),
        sensitivity=_sensitivity(metrics),
        significance=_significance(metrics),
        attribution=_attribution(strategies, rng),
        transfer=_transfer(strategies),
        promotion=_promotion(strategies),
        promotion_leads=_promotion_leads(strategies),
        quality=quality,
        decay=_decay(),
        quantiles=_quantiles(),
        quality_summary=[
            {"model": "boosting", "n_dates": len(days), "mean_rank_ic": 0.0212, "icir": 0.14, "nw_t": 2.61},
            {"model": "ridge", "n_dates": len(days), "mean_rank_ic": 0.0079, "icir": 0.05, "nw_t": 0.92},
        ],
        **_models(sorted({day.year for day in days}), rng),
        regimes=pl.DataFrame({"date": days, "regime": [REGIMES[k] for k in regimes]}),
        by_regime=_by_regime(strategies, rng),
        sectors=pl.DataFrame({"ticker": _tickers()[:-1], "sector": [SECTORS[k % 10] for k in range(N_NAMES - 1)]}),
        overfitting=Overfitting(
            pbo=0.31,
            logits=rng.normal(0.6, 1.2, 924),
            n_splits=924,
            n_trials=12,
            degradation_slope=-0.2,
            loss_probability=0.3,
            sharpe_in_1d=np.full(924, 0.09),
            sharpe_out_1d=np.full(924, 0.02),
        ),
        data_quality=pl.DataFrame(
            {"check": ["missing sessions", "suspected actions", "stale prices"], "n_rows": [41, 2, 0]}
        ),
        notes=["Universe: dated index membership; 3 former members have no prices.", "Trials counted: 12."],
        provenance={"Source": "simulated, seed 7", "Code version": "0.1.0", "Data hash": "3f2a" * 16},
    )


def _tickers() -> list[str]:
    return [f"TICKER{k:02d}" for k in range(N_NAMES)]


def _regimes(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) states that mostly stay."""
    moves, states = rng.random(n), rng.choice(len(REGIMES), n, p=[0.5, 0.3, 0.15, 0.05])
    found = np.zeros(n, dtype=np.int64)
    for t in range(1, n):
        found[t] = found[t - 1] if moves[t] < 0.97 else states[t]
    return found


def _daily(name: str, days: list[date], market: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    n = len(days)
    returns = 0.9 * market + np.concatenate([[0.0], rng.normal(0.0002, 0.004, n - 1)])
    equity = CAPITAL_INR * np.cumprod(1.0 + returns)
    turnover = np.where(np.arange(n) % 5 == 1, rng.uniform(0.05, 0.2, n), 0.0)
    frame = pl.DataFrame(
        {
            "date": days,
            "strategy": name,
            "equity_inr": equity,
            "cash_inr": equity * rng.uniform(0.005, 0.03, n),
            "simple_return_1d": returns,
            "turnover_1d": turnover,
            "cost_inr": turnover * equity * 0.004,
            "interest_inr": equity * 0.01 * CASH_1D,
            "dividend_inr": 0.0,
            "n_holdings": N_NAMES,
            "n_fills": np.where(turnover > 0, 6, 0),
            "n_unfilled": np.where((turnover > 0) & (rng.random(n) < 0.1), 1, 0),
        }
    )
    return frame.cast(schema.BacktestDaily.create_empty().schema)  # type: ignore[arg-type]


def _measures(name: str, daily: pl.DataFrame, market: np.ndarray) -> dict[str, object]:
    own = daily.filter(pl.col("strategy") == name)
    measured = summary(
        own["simple_return_1d"].to_numpy(),
        own["date"].to_list(),
        risk_free_rate_1d=CASH_1D,
        turnover_1d=own["turnover_1d"].to_numpy(),
        benchmark=market,
    )
    tails = {"var_95_1d_cornish_fisher": -0.0171, "cvar_95_1d_cornish_fisher": -0.0254}
    return {"strategy": name, **measured, **tails, "n_fills": int(own["n_fills"].sum())}


def _quality(model: str, mean: float, days: list[date], rng: np.random.Generator) -> pl.DataFrame:
    rank_ic = rng.normal(mean, 0.15, len(days)).clip(-1, 1)
    frame = pl.DataFrame({"date": days, "model": model, "rank_ic": rank_ic, "ic": rank_ic * 0.9, "n_tickers": 50})
    return frame.cast({"n_tickers": pl.Int32})


def _positions(strategies: Sequence[str], days: list[date], rng: np.random.Generator) -> pl.DataFrame:
    """Every name, with weights that change each month."""
    parts = []
    for name in strategies:
        weights = np.repeat(rng.dirichlet(np.full(N_NAMES, 2.0), len(days) // 21 + 1), 21, axis=0)[: len(days)] * 0.98
        parts.append(
            pl.DataFrame(
                {
                    "date": np.repeat(np.array(days, dtype="datetime64[D]"), N_NAMES),
                    "strategy": name,
                    "ticker": _tickers() * len(days),
                    "weight": weights.ravel(),
                    "value_inr": weights.ravel() * CAPITAL_INR,
                }
            )
        )
    return pl.concat(parts)


def _trades(strategies: Sequence[str], days: list[date], rng: np.random.Generator) -> pl.DataFrame:
    parts = []
    for name in strategies:
        for k in range(1, len(days), 5):
            for ticker in rng.choice(_tickers(), 4, replace=False):
                side = schema.BUY if rng.random() < 0.5 else schema.SELL
                value = float(rng.lognormal(12.5, 0.6))
                parts.append(
                    (days[k], name, str(ticker), side, days[k - 1], value, 100.0, value / 100.0, value * 0.002)
                )
    return pl.DataFrame(parts, schema=schema.BacktestTrades.create_empty().schema, orient="row")


def _costs(strategies: Sequence[str], days: list[date], rng: np.random.Generator) -> pl.DataFrame:
    size = {"stt": 3000.0, "impact": 2200.0, "brokerage": 900.0, "stamp_duty": 500.0, "dp_charge": 60.0, "gst": 150.0}
    rows = [
        (day, name, kind, float(value * rng.uniform(0.5, 1.5)))
        for name in strategies
        for day in days[1::5]
        for kind, value in size.items()
    ]
    return pl.DataFrame(rows, schema=schema.BacktestCosts.create_empty().schema, orient="row")


def _trips(strategies: Sequence[str], days: list[date], rng: np.random.Generator) -> pl.DataFrame:
    rows = []
    for name in strategies:
        for ticker in _tickers():
            start = int(rng.integers(0, 20))
            while start < len(days) - 2:
                end = start + int(rng.geometric(1 / 30))
                earned = float(rng.normal(0.01, 0.08))
                closed = days[end] if end < len(days) else None
                held = min(end, len(days)) - start
                rows.append((name, ticker, days[start], closed, held, 2e5, 2e5 * earned, earned))
                start = end + int(rng.integers(1, 15))
    return pl.DataFrame(rows, schema=schema.RoundTrips.create_empty().schema, orient="row")


def _sensitivity(metrics: pl.DataFrame) -> pl.DataFrame:
    rows = []
    levels = {
        "cost_multiple": (1.0, 2.0, 3.0),
        "extra_delay_sessions": (0.0, 1.0, 2.0),
        "capital_inr": (1e6, 1e7, 1e8, 1e9, 1e10),
        "delisting_haircut": (0.0, 1.0),
    }
    for row in metrics.filter(pl.col("strategy") != "benchmark").iter_rows(named=True):
        for scenario, values in levels.items():
            for k, level in enumerate(values):
                sharpe, cagr = row["sharpe_ann"] - 0.07 * k, row["cagr"] - 0.012 * k
                rows.append(
                    (row["strategy"], scenario, level, cagr, sharpe, row["max_drawdown"], 6.0, 0.01 * (k + 1), 0.95)
                )
    return pl.DataFrame(rows, schema=schema.Sensitivity.create_empty().schema, orient="row")


def _significance(metrics: pl.DataFrame) -> pl.DataFrame:
    rows = [
        (
            row["strategy"],
            int(row["n_sessions"]),
            12,
            4,
            7,
            row["sharpe_ann"],
            row["sharpe_ann"] - 0.9,
            row["sharpe_ann"] + 0.9,
            row["cagr"] - 0.12,
            row["cagr"] + 0.13,
            0.91,
            0.62,
            0.55,
            0.48,
            0.57,
            0.41,
            1_240.5,
        )
        for row in metrics.filter(pl.col("strategy") != "benchmark").iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema=schema.Significance.create_empty().schema, orient="row")


def _attribution(strategies: Sequence[str], rng: np.random.Generator) -> pl.DataFrame:
    rows = []
    for name in strategies:
        parts = rng.normal(0.0, 0.02, len(schema.COMPONENTS))
        table = [*zip(schema.COMPONENTS, parts, strict=True), ("active", parts.sum())]
        rows += [(name, part, float(mean), float(mean) - 0.03, float(mean) + 0.03) for part, mean in table]
    return pl.DataFrame(rows, schema=schema.Attribution.create_empty().schema, orient="row")


def _transfer(strategies: Sequence[str]) -> pl.DataFrame:
    rows = [(name, name.removeprefix("top_n_"), 480, 0.35) for name in strategies if name.startswith("top_n_")]
    return pl.DataFrame(rows, schema=schema.TransferCoefficients.create_empty().schema, orient="row")


def _candidates(strategies: Sequence[str]) -> list[str]:
    return [name for name in strategies if name.startswith("top_n_") and name != "top_n_ridge"]


def _promotion(strategies: Sequence[str]) -> pl.DataFrame:
    why = "not above equal weight (0.40 against 0.45); deflated Sharpe ratio 0.71 over 3 own tries, wanted 0.95"
    rows = [(name, "not promoted", 480, 0.40, 3, 0.21, 0.71, why) for name in _candidates(strategies)]
    return pl.DataFrame(rows, schema=schema.Promotion.create_empty().schema, orient="row")


def _promotion_leads(strategies: Sequence[str]) -> pl.DataFrame:
    known = (("top_n_ridge", 0.30, 0.10, -0.2, 0.41), ("equal_weight", 0.45, -0.05, -0.5, 0.3))
    rows = [(name, *row) for name in _candidates(strategies) for row in known]
    return pl.DataFrame(rows, schema=schema.PromotionLeads.create_empty().schema, orient="row")


def _decay() -> pl.DataFrame:
    rows = [
        (model, horizon, scale * (0.012 + 0.008 * np.log(horizon)), 1.1 + 0.4 * k, 480)
        for model, scale in (("boosting", 1.0), ("ridge", 0.6))
        for k, horizon in enumerate((1, 2, 5, 10, 21, 42, 63))
    ]
    return pl.DataFrame(rows, schema=schema.ForecastDecay.create_empty().schema, orient="row")


def _quantiles() -> pl.DataFrame:
    rows = [
        (model, q, 0.004 + 0.0006 * q, scale * (q - 3) * 0.0007, 0.05 + 0.02 * abs(q - 3), 480)
        for model, scale in (("boosting", 1.0), ("ridge", 0.5))
        for q in range(1, 6)
    ]
    return pl.DataFrame(rows, schema=schema.ForecastQuantiles.create_empty().schema, orient="row")


def _models(years: Sequence[int], rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    """Tables about three models: boosting and ridge say distributions, momentum says a score."""
    models = ("boosting", "momentum", "ridge")
    parts = [("all", "all"), *(("year", str(year)) for year in years), *(("sector", name) for name in SECTORS[:3])]
    parts += [("liquidity", name) for name in ("low", "middle", "high")]
    parts += [("regime", name) for name in ("Bear", "Crisis", "Low-Vol Bull")]
    rows = [
        {"model": model, "horizon_sessions": horizon, "part": part, "value": value, "n_dates": 240, "n_rows": 4800,
         "is_own_horizon": model != "momentum" and horizon == 21, "mean_rank_ic": float(rng.normal(0.02, 0.03)),
         "mean_ic": 0.02, "icir": 0.1, "nw_t": 1.5, "hit_rate": 0.54}
        | ({"crps": 0.02, "crps_climatology": 0.021, "crps_skill": 0.05, "coverage_50": 0.51, "coverage_80": 0.79,
            "coverage_90": 0.88, "adaptive_coverage_50": 0.5, "adaptive_coverage_80": 0.8,
            "adaptive_coverage_90": 0.9, "regime_coverage_90": 0.91, "pit_ks": 0.03, "qlike": 0.4,
            "qlike_trailing": 0.5, "direction_log_loss": 1.08, "base_log_loss": 1.09, "direction_accuracy": 0.37,
            "base_accuracy": 0.36, "direction_disagreement": 0.02} if model != "momentum" and horizon == 21 else {})
        for model in models for horizon in (5, 21) for part, value in parts
    ]  # fmt: skip
    pairs = [
        (a, b, 5, 470, 0.01, 1.2 if a < b else -1.2, 0.23, None if "zero" in (a, b) else 0.4,
         None if "zero" in (a, b) else 0.3)
        for a in (*models, "zero") for b in (*models, "zero") if a != b
    ]  # fmt: skip
    said = ("boosting", "ridge")
    shares = rng.dirichlet(np.full(10, 50.0), 2)
    pit = [(model, k + 1, float(shares[m, k])) for m, model in enumerate(said) for k in range(10)]
    reliability = [
        (model, way, k, 0.1 * k - 0.05, 0.09 * k, 900) for model in said for way in ("down", "up") for k in (2, 3, 4)
    ]
    importance = [("ridge", f"measure_{k}", 0.01 * (6 - k) - 0.02, 0.001) for k in range(6)]
    importance.append(("boosting", "momentum", 0.0125, 0.002))
    contributions = [("boosting", 5, 470, 0.031, 0.02, 0.011, 2.2), ("ridge", 5, 470, 0.031, 0.028, 0.003, 0.8)]

    def table(contract: type, values: Sequence[object]) -> pl.DataFrame:
        return pl.DataFrame(values, schema=contract.create_empty().schema, orient="row")

    return {
        "scorecard": table(schema.ForecastScorecard, rows),
        "pit": table(schema.ForecastPit, pit),
        "reliability": table(schema.ForecastReliability, reliability),
        "pairs": table(schema.ForecastComparison, pairs),
        "contributions": table(schema.ForecastContribution, contributions),
        "importance": table(schema.ForecastImportance, importance),
    }


def _by_regime(strategies: Sequence[str], rng: np.random.Generator) -> pl.DataFrame:
    rows = [
        {
            "strategy": name,
            "regime": regime,
            "n_sessions": 100 + 10 * k,
            "share_of_time": 0.25,
            "cagr": float(rng.normal(0.1, 0.1)),
            "volatility_ann": 0.1 + 0.08 * k,
            "sharpe_ann": float(rng.normal(0.6, 0.4)),
            "max_drawdown": -0.05 - 0.08 * k,
        }
        for name in (*strategies, "benchmark")
        for k, regime in enumerate(REGIMES)
    ]
    return pl.DataFrame(rows)
