"""One fold's policy: trained on what earlier folds forecast out of sample, walked from the fold's start on."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl

from quant_core import calendar
from quant_core.allocation.config import AllocationConfig
from quant_core.allocation.learning.agent import AGENTS, AgentConfig
from quant_core.allocation.learning.blocks import Compression
from quant_core.allocation.learning.inputs import LOOKBACK_SESSIONS, MarketTables, stage_of
from quant_core.allocation.learning.policy import Policy, policies_of
from quant_core.allocation.learning.stage import Stage
from quant_core.dense import Floats
from quant_core.fitted import Fitted, Log, Manifest, code_version, guard, plain_settings
from quant_core.folds import Fold
from quant_core.schema import CASH, TargetWeights, validate
from quant_core.trading.account_config import AccountConfig

#: A policy walks so many sessions before its fold, so that its account holds what it would hold when the fold begins.
WARM_UP_SESSIONS = 42
#: Sessions before a fold that its walk reads.
WALK_SESSIONS = WARM_UP_SESSIONS + LOOKBACK_SESSIONS + 1
MEAN = "mean"
#: Arrays of a policy's artifact beside its networks.
CENTER, BASIS = "inputs.center", "inputs.basis"
REFUSED, RESPONSIVENESS = "refused", "responsiveness"


def fit_policy(
    agent: str, tables: MarketTables, fold: Fold, config: AgentConfig, limits: AllocationConfig,
    account: AccountConfig, log: Log,
) -> Fitted:  # fmt: skip
    """Train an agent for a fold on the years before it that have out-of-sample forecasts; the last of them validates.

    Returns:
        every seed's network in one artifact; one without arrays where there are fewer years than
        `config.training_years`: it decides nothing, and its facts say why.
    """
    known = tables.until(fold.train_end)
    begun = known.forecasts["date"].min()
    years = fold.test_start.year - begun.year if isinstance(begun, date) else 0
    if not isinstance(begun, date) or years < config.training_years:
        return _untrained(agent, fold, config, f"{years} years of forecasts before {fold.name}")
    split = date(fold.test_start.year - config.validation_years, 1, 1)
    end = date.fromordinal(split.toordinal() - 1)
    short = Compression.of(known.embeddings.filter(pl.col("date") <= end), config.embedding_components)
    train = stage_of(known, begun, end, limits, account, config.half_life_sessions, short)
    validation = stage_of(known, split, fold.train_end, limits, account, config.half_life_sessions, short)
    fitted = AGENTS[agent].train(train, validation, config, log)
    kept = {} if short is None else {CENTER: short.center, BASIS: short.basis}
    told = {RESPONSIVENESS: _moved(policies_of(fitted), validation, config)}
    manifest = replace(fitted.manifest, facts=fitted.manifest.facts | told)
    return replace(fitted, arrays={**fitted.arrays, **kept}, manifest=manifest)


def _moved(policies: Sequence[Policy], stage: Stage, config: AgentConfig) -> dict[str, float]:
    """`responsiveness`, mean over seeds."""
    from quant_core.allocation.learning.walk import responsiveness

    moves = [responsiveness(policy, stage, config) for policy in policies]
    return {block: float(np.mean([each[block] for each in moves])) for block in moves[0]}


def _untrained(agent: str, fold: Fold, config: AgentConfig, reason: str) -> Fitted:
    manifest = Manifest(
        kind=agent, fit_start=fold.train_start, fit_end=fold.train_end, n_rows=0, columns=(), data_hash="",
        config=plain_settings(config), code_version=code_version(),
        facts={REFUSED: f"{reason}; {config.training_years} are wanted"},
    )  # fmt: skip
    return Fitted({}, manifest)


def policy_weights(
    agent: str, fitted: Fitted, tables: MarketTables, fold: Fold, span: tuple[date, date], limits: AllocationConfig,
    account: AccountConfig,
) -> pl.DataFrame:  # fmt: skip
    """What an agent decides within a span of its fold: the mean of its seeds, and each of them.

    The walk begins WARM_UP_SESSIONS before the fold whatever the span, so that a month alone equals the range.

    Returns:
        TargetWeights of the strategies `agent` and `agent_seed_<n>`; none where nothing was trained.
    """
    from quant_core.allocation.learning.walk import walk

    first, last = max(span[0], fold.test_start), min(span[1], fold.test_end)
    if REFUSED in fitted.manifest.facts or first > last:
        return TargetWeights.create_empty()
    begin = calendar.sessions_before(fold.test_start, WARM_UP_SESSIONS)
    half_life = float(fitted.manifest.config["half_life_sessions"])
    short = Compression(fitted.arrays[CENTER], fitted.arrays[BASIS]) if CENTER in fitted.arrays else None
    stage = stage_of(tables, begin, last, limits, account, half_life, short)
    days = pl.Series("date", [stage.sessions[row] for row in stage.decisions], dtype=pl.Date)
    own = days.is_between(first, last)
    inside = pl.col("date").is_in(days.filter(own).implode())
    parts: list[pl.DataFrame] = [TargetWeights.create_empty()]
    for name, weights in walk(policies_of(fitted), stage, config_of(fitted)).items():
        strategy = agent if name == MEAN else f"{agent}_{name}"
        rows = _rows(weights, days, stage).filter(inside).with_columns(strategy=pl.lit(strategy))
        parts.append(rows.select(TargetWeights.column_names()))
    table = pl.concat(parts).sort("date", "strategy", "ticker")
    guard(fitted.manifest, table)
    return validate(table, TargetWeights, f"weights of {agent}", "report this as a bug.")


def _rows(weights: Floats, days: pl.Series, stage: Stage) -> pl.DataFrame:
    """date, ticker, weight; null keeps what is held, and every decision has a row for cash."""
    row, column = np.nonzero(~(weights <= 0.0))
    named = pl.DataFrame({
        "date": days.gather(row), "ticker": pl.Series(stage.tickers, dtype=pl.String).gather(column),
        "weight": weights[row, column],
    }).with_columns(pl.col("weight").fill_nan(None))  # fmt: skip
    rest = pl.Series("weight", np.clip(1.0 - np.nansum(weights, axis=1), 0.0, 1.0))
    cash = pl.DataFrame({"date": days, "ticker": [CASH] * len(days), "weight": rest})
    return pl.concat([named, cash])


def config_of(fitted: Fitted) -> AgentConfig:
    """The settings that a policy was trained with."""
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in fitted.manifest.config.items()}
    config: AgentConfig = AGENTS[fitted.manifest.kind].config_class(**given)
    return config
