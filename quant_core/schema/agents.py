"""What learning agents earned beside other books, on the same sessions, from the same cash, at the same costs."""

import dataframely as dy


class AgentBooks(dy.Schema):
    """Profit, risk and diversity of a book; an agent's is the mean of its seeds."""

    strategy = dy.String(primary_key=True)
    is_agent = dy.Bool()
    cagr = dy.Float64(nullable=True)
    volatility_ann = dy.Float64(nullable=True)
    sharpe_ann = dy.Float64(nullable=True)
    sortino_ann = dy.Float64(nullable=True)
    max_drawdown = dy.Float64(nullable=True)
    calmar = dy.Float64(nullable=True)
    turnover_ann = dy.Float64(nullable=True)
    cost_ann = dy.Float64(nullable=True)
    effective_names = dy.Float64(nullable=True)
    largest_weight = dy.Float64(nullable=True)


class AgentSeeds(dy.Schema):
    """How reliable an agent is: its seeds, each on an account of its own."""

    agent = dy.String(primary_key=True)
    n_seeds = dy.Int32()
    sharpe_of_mean_ann = dy.Float64(nullable=True)  # of the book that is the mean of the seeds
    sharpe_low_ann = dy.Float64(nullable=True)  # of the worst seed
    sharpe_median_ann = dy.Float64(nullable=True)
    sharpe_high_ann = dy.Float64(nullable=True)
    sharpe_se_ann = dy.Float64(nullable=True)  # standard error of the mean over seeds
    cagr_low = dy.Float64(nullable=True)
    cagr_high = dy.Float64(nullable=True)
    turnover_low_ann = dy.Float64(nullable=True)
    turnover_high_ann = dy.Float64(nullable=True)


class AgentLeads(dy.Schema):
    """Sharpe ratio of an agent's mean less another book's, with its 95 % interval."""

    agent = dy.String(primary_key=True)
    other = dy.String(primary_key=True)
    n_sessions = dy.Int32()
    sharpe_ann = dy.Float64(nullable=True)
    other_sharpe_ann = dy.Float64(nullable=True)
    lead_ann = dy.Float64(nullable=True)
    lead_low_ann = dy.Float64(nullable=True)
    lead_high_ann = dy.Float64(nullable=True)


class AgentRegimes(dy.Schema):
    """A book in each market regime."""

    strategy = dy.String(primary_key=True)
    regime = dy.String(primary_key=True)
    n_sessions = dy.Int32()
    return_ann = dy.Float64(nullable=True)
    volatility_ann = dy.Float64(nullable=True)
    sharpe_ann = dy.Float64(nullable=True)
    max_drawdown = dy.Float64(nullable=True)


class AgentYears(dy.Schema):
    """A book in each calendar year."""

    strategy = dy.String(primary_key=True)
    year = dy.Int32(primary_key=True)
    n_sessions = dy.Int32()
    sharpe_ann = dy.Float64(nullable=True)
