"""What the masked encoder learns: reconstruction, embeddings of planted regimes, and what a forecaster gains by it.

    python benchmarks/representation.py [dynamics|simulated|real] [--seeds 3]

dynamics: every name is in one of three states for 60 sessions on average: today's return continues, is reversed, or
says nothing of tomorrow's; mean and variance are the same in all of them, so that no linear reading of a window tells
them apart. The label follows today's return by the state.
simulated: the simulated market through cleaning, features and labels (21 sessions), with twice its default planted
signal; the market's own regimes.
real: the members of the NIFTY 50 in the price files of QUANT_REAL_DATA (default ../shared/data); reconstruction alone.

Reconstruction: mean squared error of hidden patches on the newest dates of the training window, beside the patch before
and each channel's mean. Probe: multinomial logistic regression on rows after fit_end, fitted on the older half of the
dates and judged on the newer one, 60 sessions between them; balanced accuracy, a third by chance; `settled` are the
embeddings of rows whose state has lasted for the whole window, where there are such rows of every state.
Transfer: rank IC out of sample of the same network that begins with the encoder's weights, with random ones, or with
the encoder's weights held fixed, learning from all labels or from the newest year's; the interval of a difference is
1.96 Newey-West standard errors of the daily differences, averaged over the seeds. A seed draws market and weights.
"""

import argparse
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from recovery import FOLD, Market

from quant_core.calendar import sessions, sessions_before
from quant_core.cleaning.clean import CleaningConfig, clean
from quant_core.features import FeatureConfig, compute_features
from quant_core.fitted import Fitted
from quant_core.folds import purge
from quant_core.forecasting import TrainingData
from quant_core.forecasting.labels import LabelConfig, cross_section, training_labels
from quant_core.forecasting.models import transformer_pretrained as pretrained
from quant_core.forecasting.net import fit_net, predict_net
from quant_core.market.sources.files import FilesSource
from quant_core.market.sources.simulated import SimulatedSource, simulate
from quant_core.market.universe import membership
from quant_core.measures.forward_returns import forward_returns
from quant_core.measures.information_coefficient import rank_ic_by_date
from quant_core.measures.newey_west import newey_west_t
from quant_core.nn.tables import input_panel
from quant_core.representation import MaskedEncoderConfig
from quant_core.representation.embed import embedded
from quant_core.representation.pretrain import fit_encoder
from quant_core.schema import TrainingLabels

LENGTH, LAST = 60, date(2020, 12, 31)
STAY, PERSISTENCE = 60, 0.7
ENCODER = MaskedEncoderConfig(
    sequence_sessions=LENGTH, d_model=32, heads=4, layers=2, feed_forward=64, dropout=0.0, epochs=15,
    windows_per_epoch=10_000, batch_size=256, learning_rate=2e-3, threads=1,
)  # fmt: skip
FORECASTER = pretrained.TransformerPretrainedConfig(
    sequence_sessions=LENGTH, d_model=32, epochs=8, windows_per_epoch=10_000, batch_size=256, learning_rate=2e-3,
    patience=3, dropout=0.0, threads=1,
)  # fmt: skip
BEGINNINGS = ("random", "encoder", "encoder, fixed")


@dataclass(frozen=True)
class Case:
    """A market, the state that each (date, ticker) is in, and the horizon of its labels."""

    market: Market
    states: pl.DataFrame
    horizon: int
    last: date


def dynamics(seed: int, n_names: int = 60) -> Case:
    """x(t) = phi x(t-1) + sqrt(1 - phi^2) e with phi of the state; r(t+1) follows phi x(t)."""
    rng = np.random.default_rng(seed)
    days = sessions(sessions_before(FOLD.train_start, LENGTH), date(2021, 12, 31))
    shape = (len(days), n_names)
    draws, turns = rng.integers(0, 3, shape), rng.random(shape) < 1.0 / STAY
    state, x = draws.copy(), rng.standard_normal(shape)
    for t in range(1, len(days)):
        state[t] = np.where(turns[t], draws[t], state[t - 1])
        phi = np.array([PERSISTENCE, 0.0, -PERSISTENCE])[state[t]]
        x[t] = phi * x[t - 1] + np.sqrt(1.0 - phi**2) * x[t]
    signal = np.array([1.0, 0.0, -1.0])[state] * x
    earned = 0.02 * (0.15 * signal + math.sqrt(1.0 - 0.15**2) * rng.standard_normal(shape))
    ends = dict(zip(days, [*days[6:], *[None] * 6], strict=True))
    names = pl.DataFrame({"ticker": [f"T{k:02d}" for k in range(n_names)]})
    table = pl.DataFrame({"date": days}).join(names, how="cross").with_columns(
        pl.Series("channel_return_1d", x.ravel()), pl.Series("state", state.ravel()),
        pl.Series("channel_range_1d", rng.standard_normal(shape).ravel()),
        pl.Series("forward_return", earned.ravel()), pl.Series("oracle", signal.ravel()),
        is_eligible=pl.lit(True), realized_vol_63d_ann=pl.lit(0.02 / math.sqrt(5) * math.sqrt(252.0)),
        label_end_date=pl.col("date").replace_strict(ends, return_dtype=pl.Date),
    )  # fmt: skip
    labels = cross_section(purge(table, FOLD)).with_columns(
        horizon_sessions=pl.lit(5, pl.Int32), direction=pl.col("forward_return").sign().cast(pl.Int8),
        realized_variance=pl.lit(0.02**2),
    )  # fmt: skip
    after = table.filter(pl.col("date").is_between(FOLD.test_start, LAST))
    market = Market(
        table.select("date", "ticker", "is_eligible", "realized_vol_63d_ann", "^channel_.*$"),
        labels.select(TrainingLabels.column_names()),
        after.select("date", "ticker", forward_return_1d="forward_return"),
        after.select("date", "ticker", score="oracle"),
    )  # fmt: skip
    return Case(market, table.select("date", "ticker", "state"), 5, date(2021, 12, 31))


def simulated(seed: int, horizon: int = 21) -> Case:
    """The simulated market from 2014 to 2023; the oracle knows today's latent alpha."""
    last = date(2023, 12, 29)
    source = SimulatedSource(n_tickers=60, seed=seed, start=date(2014, 1, 1), alpha_vol_1d=0.0016)
    made = simulate(source, last)
    prices = clean(made.rows, None, CleaningConfig(), source.start, last).prices
    config = FeatureConfig(names=("daily_channels", "realized_volatility"), windows=(63,), normalization="none")
    features = compute_features(prices, config, source.start, last)
    eligible = features.filter("is_eligible").select("date", "ticker", "is_eligible")
    labels = training_labels(eligible, prices, FOLD, LabelConfig(horizons_sessions=(horizon,)))
    inside = pl.col("date").is_between(FOLD.test_start, LAST)
    forward = forward_returns(prices, horizon).filter(inside).drop_nulls()
    states = eligible.join(made.truth.regimes, on="date").with_columns(
        state=pl.col("regime").replace_strict({"bull": 0, "choppy": 1, "crisis": 2}, return_dtype=pl.Int64)
    )
    oracle = made.truth.alpha.filter(inside).select("date", "ticker", score="alpha_1d").drop_nulls()
    market = Market(features, labels, forward, oracle)
    return Case(market, states.select("date", "ticker", "state"), horizon, last)


def real(first: date, last: date) -> pl.DataFrame:
    """Channels of the NIFTY 50's members."""
    source = FilesSource(path=os.environ.get("QUANT_REAL_DATA", str(Path(__file__).parents[2] / "shared" / "data")))
    raw = source.fetch(None, first, last, datetime.combine(last, datetime.max.time(), UTC)).rows
    prices = clean(raw, membership("nifty50"), CleaningConfig(), first, last).prices
    config = FeatureConfig(names=("daily_channels",), normalization="none")
    return compute_features(prices, config, sessions_before(FOLD.train_start, LENGTH), last)


def windows(case: Case, fitted: Fitted, keys: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """(R, L F) flat windows of the rows, 0 where unknown, and (R, D) embeddings."""
    begin = sessions_before(keys["date"][0], LENGTH - 1)
    rows = case.market.features.filter(pl.col("date") >= begin).sort("date", "ticker")
    panel = input_panel(rows, fitted.manifest.columns)
    name, day = panel.place(keys)
    values = np.nan_to_num(panel.values)
    flat = np.stack([values[n, d - LENGTH + 1 : d + 1].ravel() for n, d in zip(name, day, strict=True)])
    return flat, embedded(fitted, rows, keys)


def probe(case: Case, fitted: Fitted, seed: int) -> dict[str, float]:
    """Balanced accuracy of a linear reading of the day's channels, of the whole window, and of the embedding."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    eligible = case.market.features.filter("is_eligible", pl.col("date") > FOLD.test_start).select("date", "ticker")
    lasted = pl.col("state").rolling_min(LENGTH) == pl.col("state").rolling_max(LENGTH)
    states = case.states.sort("ticker", "date").with_columns(settled=lasted.over("ticker").fill_null(False))
    rows = states.join(eligible, on=["date", "ticker"], how="semi").sort("date", "ticker")
    keys = rows.sample(min(8_000, rows.height), seed=seed).sort("date", "ticker")
    days = keys["date"].unique().sort()
    middle = days[len(days) // 2]
    older = (keys["date"] < sessions_before(middle, LENGTH)).to_numpy()
    newer = (keys["date"] >= middle).to_numpy()
    flat, embedding = windows(case, fitted, keys)
    found, state, settled = {}, keys["state"].to_numpy(), keys["settled"].to_numpy()
    for name, x in (("day", flat[:, -len(fitted.manifest.columns) :]), ("window", flat), ("embedding", embedding)):
        reader = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1_000, class_weight="balanced"))
        reader.fit(x[older], state[older])
        found[name] = float(balanced_accuracy_score(state[newer], reader.predict(x[newer])))
    of = newer & settled
    if len(np.unique(state[of])) == len(np.unique(state)):
        found["settled"] = float(balanced_accuracy_score(state[of], reader.predict(embedding[of])))
    return found


def daily_ics(case: Case, encoder: Fitted, labels: pl.DataFrame, beginning: str, seed: int) -> np.ndarray:
    """Daily rank IC out of sample of one beginning."""
    config = replace(
        FORECASTER, horizon_sessions=case.horizon, seed=seed,
        pretrained_rate_share=0.0 if beginning == "encoder, fixed" else FORECASTER.pretrained_rate_share,
        weight_decay=0.0 if beginning == "encoder, fixed" else FORECASTER.weight_decay,
    )  # fmt: skip
    known = case.market.features.filter(pl.col("date") < FOLD.test_start)
    data = replace(TrainingData.of(labels, known.lazy(), encoder), columns=encoder.manifest.columns)
    shape = {name: encoder.manifest.config[name] for name in pretrained.SHAPE}
    initial = {} if beginning == "random" else pretrained.weights_of(encoder)
    body = partial(pretrained.body, shape)
    fitted = fit_net(pretrained.NAME, body, data, config, lambda epoch, values: None, initial)
    begin = sessions_before(FOLD.test_start, LENGTH)
    rows = case.market.features.filter(pl.col("date").is_between(begin, LAST))
    scores = predict_net(body, pretrained.TransformerPretrainedConfig, fitted, rows, FOLD.test_start)
    return rank_ic_by_date(scores, case.market.forward)["rank_ic"].to_numpy()


def reconstruct(features: pl.DataFrame, seed: int) -> Fitted:
    """The encoder of the fold; its errors are printed."""
    started = time.process_time()
    encoder = fit_encoder(features.lazy(), FOLD, replace(ENCODER, seed=seed), lambda epoch, values: None)
    facts, seconds = encoder.manifest.facts, time.process_time() - started
    errors = ", ".join(f"{name} {facts[f'{name}_error']:.4f}" for name in ("reconstruction", "copied", "mean"))
    print(f"seed {seed}: {errors}; epoch {facts['best_epoch']}, {seconds:.0f} s CPU", flush=True)
    return encoder


def run(make: Callable[[int], Case], n_seeds: int) -> None:
    ics: dict[tuple[str, str], list[np.ndarray]] = {}
    for seed in range(n_seeds):
        case = make(seed)
        oracle = rank_ic_by_date(case.market.oracle, case.market.forward)["rank_ic"].mean()
        encoder = reconstruct(case.market.features, seed)
        accuracy = ", ".join(f"{name} {value:.3f}" for name, value in probe(case, encoder, seed).items())
        print(f"        probe: {accuracy}; oracle's rank IC {oracle:.3f}", flush=True)
        newest = pl.col("date") >= date(FOLD.test_start.year - 1, 1, 1)
        for amount, labels in (("all", case.market.labels), ("a year's", case.market.labels.filter(newest))):
            for beginning in BEGINNINGS:
                daily = daily_ics(case, encoder, labels, beginning, seed)
                ics.setdefault((amount, beginning), []).append(daily)
                print(f"        {amount:>9} labels, {beginning:<14} rank IC {daily.mean():.4f}", flush=True)
    for amount in ("all", "a year's"):
        for beginning in BEGINNINGS[1:]:
            gains = np.array(ics[amount, beginning]) - np.array(ics[amount, BEGINNINGS[0]])
            mean, t = newey_west_t(gains.mean(axis=0), horizon_sessions=case.horizon)
            each = " ".join(f"{gain:+.4f}" for gain in gains.mean(axis=1))
            print(f"{amount} labels, {beginning} less random: {mean:+.4f} +- {1.96 * abs(mean / t):.4f} (seeds {each})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", default="dynamics", choices=("dynamics", "simulated", "real"))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{arguments.kind}; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if arguments.kind == "real":
        features = real(date(FOLD.train_start.year - 2, 1, 1), date(FOLD.train_start.year + 3, 12, 31))
        for seed in range(arguments.seeds):
            reconstruct(features, seed)
        return
    run({"dynamics": dynamics, "simulated": simulated}[arguments.kind], arguments.seeds)


if __name__ == "__main__":
    main()
