"""What a table of trials says: who is ahead out of sample, and how much of that is luck."""

import dataframely as dy

from quant_core.schema.backtest import NOT_PROMOTED, OPEN, PROMOTED


class Leaderboard(dy.Schema):
    """One row a finished trial, the best first; net of costs, out of sample, over the trial's own sessions."""

    rank = dy.Int32(min=1)  # by deflated_sharpe, then by sharpe_ann
    trial = dy.String(primary_key=True)  # the key, e.g. forecaster=ridge,horizon=5,seed=0
    cluster = dy.String()  # the first trial of those that are variants of one bet
    n_sessions = dy.Int32()
    sharpe_ann = dy.Float64(nullable=True)
    cagr = dy.Float64(nullable=True)
    max_drawdown = dy.Float64(nullable=True)
    turnover_ann = dy.Float64(nullable=True)
    cost_ann = dy.Float64(nullable=True)
    mean_rank_ic = dy.Float64(nullable=True)  # of the scores that the book follows
    probabilistic_sharpe = dy.Float64(nullable=True)  # P(true Sharpe > 0), as if nothing else had been tried
    expected_max_sharpe_ann = dy.Float64(nullable=True)  # of everything that the profile tried, without skill
    deflated_sharpe = dy.Float64(nullable=True)  # P(true Sharpe > expected_max_sharpe_ann)
    stressed_sharpe_ann = dy.Float64(nullable=True)  # at twice the costs, over the sessions shared with the rivals
    status = dy.String(check=lambda c: c.is_in([PROMOTED, NOT_PROMOTED, OPEN]))  # what the promotion gate says
    reasons = dy.String()  # why not; "" where it is promoted


class LeaderboardSummary(dy.Schema):
    """What choosing among the trials does to the best of them; one row."""

    n_trials = dy.Int32(primary_key=True)  # of the table
    n_clusters = dy.Int32()  # bets that they are variants of
    n_failed = dy.Int32()
    n_registered = dy.Int32()  # return histories that the profile ever tried, these included
    n_registered_clusters = dy.Int32()
    pbo = dy.Float64(nullable=True)  # CSCV over the trials; null for fewer than two, or too short a test
    n_splits = dy.Int32(nullable=True)
    degradation_slope = dy.Float64(nullable=True)
    loss_probability = dy.Float64(nullable=True)


class FailedTrials(dy.Schema):
    """Trials that ended with an error."""

    trial = dy.String(primary_key=True)
    reason = dy.String()
