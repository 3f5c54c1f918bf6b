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


class ForecastScorecard(dy.Schema):
    """How good a model's forecasts were out of sample, over one horizon, on all rows or a part of them.

    What is measured of a distribution is null over another horizon than the model's own, and where it says none; means
    are over rows.
    """

    model = dy.String(primary_key=True)
    horizon_sessions = dy.Int32(primary_key=True)
    part = dy.String(primary_key=True)  # all, year, liquidity, sector, regime
    value = dy.String(primary_key=True)  # of the part: all; 2021; low, middle, high; a sector's name; a regime's
    is_own_horizon = dy.Bool()
    n_dates = dy.Int32()  # with a rank IC
    n_rows = dy.Int32()  # with a score and a return
    mean_rank_ic = dy.Float64(nullable=True)
    mean_ic = dy.Float64(nullable=True)
    icir = dy.Float64(nullable=True)
    nw_t = dy.Float64(nullable=True)
    hit_rate = dy.Float64(nullable=True)
    crps = dy.Float64(nullable=True)  # in returns
    crps_climatology = dy.Float64(nullable=True)  # of a normal with mean 0 and the trailing volatility, same rows
    crps_skill = dy.Float64(nullable=True)  # 1 - crps / crps_climatology
    coverage_50 = dy.Float64(nullable=True)  # share of returns inside the central interval of 50 %
    coverage_80 = dy.Float64(nullable=True)
    coverage_90 = dy.Float64(nullable=True)
    adaptive_coverage_50 = dy.Float64(nullable=True)
    adaptive_coverage_80 = dy.Float64(nullable=True)
    adaptive_coverage_90 = dy.Float64(nullable=True)
    regime_coverage_50 = dy.Float64(nullable=True)  # adaptive, with a level a market regime; null without regimes
    regime_coverage_80 = dy.Float64(nullable=True)
    regime_coverage_90 = dy.Float64(nullable=True)
    pit_ks = dy.Float64(nullable=True)  # distance of the PIT values from uniform, 0..1
    qlike = dy.Float64(nullable=True)  # of expected_variance
    qlike_trailing = dy.Float64(nullable=True)  # of the trailing variance, same rows
    direction_log_loss = dy.Float64(nullable=True)
    base_log_loss = dy.Float64(nullable=True)  # of the classes' own frequencies on the same rows: known in hindsight
    direction_accuracy = dy.Float64(nullable=True)
    base_accuracy = dy.Float64(nullable=True)  # share of the most frequent class
    direction_disagreement = dy.Float64(nullable=True)  # mean |prob_up - P(up) of the quantiles|


class ForecastPit(dy.Schema):
    """Where outcomes fell in the distributions said of them, in ten equal parts; a tenth each where they are right."""

    model = dy.String(primary_key=True)
    bin = dy.Int32(primary_key=True)  # 1 holds the outcomes that were least expected from below
    share = dy.Float64()


class ForecastReliability(dy.Schema):
    """How often a direction came true, by the probability that was said of it, in ten equal parts."""

    model = dy.String(primary_key=True)
    direction = dy.String(primary_key=True)  # down, up
    bin = dy.Int32(primary_key=True)
    mean_probability = dy.Float64()
    frequency = dy.Float64()
    n_rows = dy.Int32()


class ForecastComparison(dy.Schema):
    """One model beside another on their common dates, over one horizon for all."""

    model = dy.String(primary_key=True)
    other = dy.String(primary_key=True)
    horizon_sessions = dy.Int32()
    n_dates = dy.Int32()
    rank_ic_gain = dy.Float64(nullable=True)  # mean daily rank IC of model less that of other
    dm_t = dy.Float64(nullable=True)  # Diebold-Mariano on daily rank ICs; above 0 the model is better
    dm_p = dy.Float64(nullable=True)
    ic_correlation = dy.Float64(nullable=True)  # of the daily rank ICs
    score_correlation = dy.Float64(nullable=True)  # mean over dates of the rank correlation of the scores


class ForecastContribution(dy.Schema):
    """What a model adds to the plain mean of all models' centred ranks, on the rows that all of them score."""

    model = dy.String(primary_key=True)
    horizon_sessions = dy.Int32()
    n_dates = dy.Int32()
    ensemble_rank_ic = dy.Float64(nullable=True)
    rank_ic_without = dy.Float64(nullable=True)
    rank_ic_added = dy.Float64(nullable=True)  # the first less the second
    nw_t = dy.Float64(nullable=True)  # of the daily difference


class ForecastImportance(dy.Schema):
    """What a fold's models lose of their rank IC when an input of theirs no longer belongs to its name."""

    model = dy.String(primary_key=True)
    feature = dy.String(primary_key=True)  # a family of columns, a member of an ensemble
    importance = dy.Float64()  # mean daily rank IC lost, on the validation slice of the fit
    importance_std = dy.Float64()  # over the exchanges of its values


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
