"""Forecasts, and how well they agreed with what followed."""

import dataframely as dy


class Forecasts(dy.Schema):
    """One score per (date, ticker, model): higher means a higher expected return over the horizon."""

    date = dy.Date(primary_key=True)
    ticker = dy.String(primary_key=True)
    model = dy.String(primary_key=True)
    fold = dy.Int32()  # the year whose fold made the score
    fit_end = dy.Date()  # last date whose label the fold's model could see
    horizon_sessions = dy.Int32()
    score = dy.Float64()


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
