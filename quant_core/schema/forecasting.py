"""Forecasts, and how well they agreed with what followed."""

import dataframely as dy


class TrainingLabels(dy.Schema):
    """What a fold's models may learn: one row per eligible (date, ticker) and horizon, from fill to fill."""

    horizon_sessions = dy.Int32(primary_key=True)
    date = dy.Date(primary_key=True)
    ticker = dy.String(primary_key=True)
    label_end_date = dy.Date()  # session of the exit
    forward_return = dy.Float64()  # simple, total
    rank_label = dy.Float64()  # centred rank among the date's eligible names, in (-0.5, 0.5); average for ties
    zscore_label = dy.Float64()  # (return - mean) / standard deviation of the date's eligible names
    direction = dy.Int8(nullable=True)  # -1, 0, 1: beyond k sigma sqrt(h); null where sigma is not known
    realized_variance = dy.Float64(nullable=True)  # sum of squared log returns from fill to fill


class Forecasts(dy.Schema):
    """One score per (date, ticker, model): higher means a higher expected return over the horizon. What is said beside
    it of the simple return from fill to fill is null where the model or its calibration says nothing."""

    date = dy.Date(primary_key=True)
    ticker = dy.String(primary_key=True)
    model = dy.String(primary_key=True)
    fold = dy.String()  # whose model made the score: "2021", or "2021-07" for a quarter
    fit_end = dy.Date()  # last date whose label the fold's model could see
    horizon_sessions = dy.Int32()
    score = dy.Float64()
    expected_return = dy.Float64(nullable=True)
    return_std = dy.Float64(nullable=True)
    return_q05 = dy.Float64(nullable=True)  # quantiles, which never cross
    return_q10 = dy.Float64(nullable=True)
    return_q25 = dy.Float64(nullable=True)
    return_q50 = dy.Float64(nullable=True)
    return_q75 = dy.Float64(nullable=True)
    return_q90 = dy.Float64(nullable=True)
    return_q95 = dy.Float64(nullable=True)
    prob_down = dy.Float64(nullable=True)  # of the label `direction` being -1, and 1
    prob_up = dy.Float64(nullable=True)
    expected_variance = dy.Float64(nullable=True)  # of the label `realized_variance`


#: Levels of the quantiles of `Forecasts`, and their columns.
QUANTILE_LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
QUANTILE_COLUMNS = tuple(f"return_q{round(100 * level):02d}" for level in QUANTILE_LEVELS)
#: What a forecast may say beside its score.
DISTRIBUTION_COLUMNS = (
    "expected_return", "return_std", *QUANTILE_COLUMNS, "prob_down", "prob_up", "expected_variance",
)  # fmt: skip


class ForecastQuality(dy.Schema):
    """Agreement between a day's scores and the returns that followed."""

    date = dy.Date(primary_key=True)
    model = dy.String(primary_key=True)
    rank_ic = dy.Float64()  # Spearman
    ic = dy.Float64()  # Pearson
    n_tickers = dy.Int32()


class ForecastDecay(dy.Schema):
    """Rank IC of today's scores against returns over other horizons than the label's."""

    model = dy.String(primary_key=True)
    horizon_sessions = dy.Int32(primary_key=True)
    mean_rank_ic = dy.Float64(nullable=True)
    nw_t = dy.Float64(nullable=True)
    n_dates = dy.Int32()


class ForecastQuantiles(dy.Schema):
    """What the names of each score quantile earned, and how fast the quantile changes its names."""

    model = dy.String(primary_key=True)
    quantile = dy.Int32(primary_key=True)  # 1 holds the lowest scores
    mean_forward_return = dy.Float64(nullable=True)  # mean over dates of the quantile's mean, over the label's horizon
    mean_excess_return = dy.Float64(nullable=True)  # the same less the mean of all names that day
    turnover_1d = dy.Float64(nullable=True)  # share of the quantile's names that were not in it the session before
    n_dates = dy.Int32()
