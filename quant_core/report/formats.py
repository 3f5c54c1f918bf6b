"""How a number is written in a report: its label, unit and digits, by column name. No table or figure is made here."""

import math
from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple

THIN = "\u202f"  # narrow no-break space between number and unit
MINUS = "\u2212"
MISSING = "\u2013"
LAKH, CRORE = 1e5, 1e7
#: What begins a formula for spreadsheets, in full width too.
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
AT = "_at_"  # what follows it in a column's name is a level, not part of the measure


class Spec(NamedTuple):
    """How the column of one name is shown."""

    label: str
    write: Callable[[float], str]


def percent(value: float, digits: int = 1) -> str:
    """0.1234 -> 12.3 %."""
    return _signed(f"{100 * value:.{digits}f}{THIN}%")


def percent_fine(value: float) -> str:
    """Percent with two decimals, for one-day quantities."""
    return percent(value, 2)


def ratio(value: float) -> str:
    """Two decimals."""
    return _signed(f"{value:.2f}")


def correlation(value: float) -> str:
    """Three decimals: a rank IC of 0.02 is already a good one."""
    return _signed(f"{value:.3f}")


def times(value: float) -> str:
    """A multiple of equity."""
    return _signed(f"{value:.1f}\u00d7")


def count(value: float) -> str:
    """A whole number with separators."""
    return _signed(f"{round(value):,}")


def names(value: float) -> str:
    """A number of names that need not be whole."""
    return _signed(f"{value:.1f}")


def basis_points(value: float) -> str:
    """Hundredths of a percent."""
    return _signed(f"{value:.1f}{THIN}bps")


def rupees(value: float) -> str:
    """Rupees, in lakh from 1,00,000 and in crore from 1,00,00,000."""
    size = abs(value)
    if size >= CRORE * 0.99995:
        return _signed(f"\u20b9{value / CRORE:,.2f}{THIN}crore")
    if size >= LAKH * 0.99995:
        return _signed(f"\u20b9{value / LAKH:,.2f}{THIN}lakh")
    return _signed(f"\u20b9{value:,.0f}")


def rupees_and_paise(value: float) -> str:
    """Rupees with two decimals below 10,000, for prices and dividends of a share; as `rupees` above."""
    return _signed(f"\u20b9{value:,.2f}") if abs(value) < 10_000 else rupees(value)


def defused(text: str) -> str:
    """A cell of a CSV file that a spreadsheet takes for text: one that it would run as a formula gets an apostrophe.

    Numbers stay numbers, -0.5 too. Source: OWASP, CSV injection.
    """
    if not text.lstrip().startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


SPECS: dict[str, Spec] = {
    "total_return": Spec("Total return", percent),
    "cagr": Spec("CAGR", percent),
    "gross_cagr": Spec("CAGR before costs", percent),
    "return_ann": Spec("Return, a year", percent),
    "cagr_low": Spec("CAGR, low", percent),
    "cagr_high": Spec("CAGR, high", percent),
    "volatility_ann": Spec("Volatility, a year", percent),
    "sharpe_ann": Spec("Sharpe ratio", ratio),
    "sharpe_low_ann": Spec("Sharpe, low", ratio),
    "sharpe_high_ann": Spec("Sharpe, high", ratio),
    "sortino_ann": Spec("Sortino ratio", ratio),
    "omega": Spec("Omega ratio", ratio),
    "calmar": Spec("Calmar ratio", ratio),
    "max_drawdown": Spec("Worst drawdown", percent),
    "max_drawdown_sessions": Spec("Longest drawdown, sessions", count),
    "hit_rate": Spec("Days above zero", percent),
    "best_return_1d": Spec("Best day", percent_fine),
    "worst_return_1d": Spec("Worst day", percent_fine),
    "skewness": Spec("Skewness", ratio),
    "kurtosis": Spec("Excess kurtosis", ratio),
    "tail_ratio": Spec("Tail ratio", ratio),
    "var_95_1d": Spec("Value at risk 95\u202f%, 1 day", percent_fine),
    "cvar_95_1d": Spec("Expected shortfall 95\u202f%, 1 day", percent_fine),
    "var_95_1d_cornish_fisher": Spec("Value at risk 95\u202f%, Cornish\u2013Fisher", percent_fine),
    "cvar_95_1d_cornish_fisher": Spec("Expected shortfall 95\u202f%, Cornish\u2013Fisher", percent_fine),
    "beta": Spec("Beta", ratio),
    "alpha_ann": Spec("Alpha, a year", percent),
    "correlation": Spec("Correlation with the benchmark", ratio),
    "tracking_error_ann": Spec("Tracking error, a year", percent),
    "information_ratio_ann": Spec("Information ratio", ratio),
    "up_capture": Spec("Up capture", percent),
    "down_capture": Spec("Down capture", percent),
    "exposure": Spec("Invested share, mean", percent),
    "effective_names": Spec("Effective names", names),
    "largest_weight": Spec("Largest weight, of what is invested", percent),
    "holding_sessions": Spec("Sessions held, by turnover", count),
    "traded_inr": Spec("Traded", rupees),
    "trip_count": Spec("Round trips", count),
    "trip_win_rate": Spec("Trips won", percent),
    "trip_profit_factor": Spec("Profit factor of trips", ratio),
    "trip_mean_holding_sessions": Spec("Sessions held, mean of trips", count),
    "trip_open_share": Spec("Trips still open", percent),
    "turnover_ann": Spec("Turnover, a year", times),
    "cost_ann": Spec("Cost, a year", percent_fine),
    "cost_inr": Spec("Cost paid", rupees),
    "final_equity_inr": Spec("Final equity", rupees),
    "profit_factor": Spec("Profit factor of days", ratio),
    "win_rate": Spec("Trips won", percent),
    "n_fills": Spec("Fills", count),
    "n_unfilled": Spec("Trades not filled", count),
    "n_trips": Spec("Round trips", count),
    "n_sessions": Spec("Sessions", count),
    "n_dates": Spec("Days scored", count),
    "n_trials": Spec("Trials counted", count),
    "n_own_trials": Spec("Own tries", count),
    "n_clusters": Spec("Clusters", count),
    "mean_rank_ic": Spec("Mean rank IC", correlation),
    "mean_ic": Spec("Mean IC", correlation),
    "icir": Spec("ICIR, daily", ratio),
    "nw_t": Spec("Newey\u2013West t", ratio),
    "nw_lags": Spec("Lags", count),
    "rank_ic_gain": Spec("Rank IC gained", correlation),
    "gain_over_ridge": Spec("Rank IC over ridge", correlation),
    "ensemble_rank_ic": Spec("Rank IC of the mean", correlation),
    "rank_ic_without": Spec("Rank IC without it", correlation),
    "rank_ic_added": Spec("Rank IC added", correlation),
    "dm_t": Spec("Diebold\u2013Mariano t", ratio),
    "dm_p": Spec("p, two-sided", correlation),
    "crps": Spec("CRPS", percent_fine),
    "crps_skill": Spec("CRPS skill", percent),
    "coverage_50": Spec("Inside 50\u202f%", percent),
    "coverage_80": Spec("Inside 80\u202f%", percent),
    "coverage_90": Spec("Inside 90\u202f%", percent),
    "adaptive_coverage_50": Spec("Inside 50\u202f%, adaptive", percent),
    "adaptive_coverage_80": Spec("Inside 80\u202f%, adaptive", percent),
    "adaptive_coverage_90": Spec("Inside 90\u202f%, adaptive", percent),
    "regime_coverage_50": Spec("Inside 50\u202f%, by regime", percent),
    "regime_coverage_80": Spec("Inside 80\u202f%, by regime", percent),
    "regime_coverage_90": Spec("Inside 90\u202f%, by regime", percent),
    "pit_ks": Spec("PIT distance", correlation),
    "qlike": Spec("QLIKE", ratio),
    "qlike_trailing": Spec("QLIKE, trailing", ratio),
    "direction_log_loss": Spec("Log loss, direction", correlation),
    "base_log_loss": Spec("Log loss, base", correlation),
    "direction_accuracy": Spec("Direction right", percent),
    "base_accuracy": Spec("Right, base", percent),
    "direction_disagreement": Spec("Heads disagree by", percent),
    "horizon_sessions": Spec("Horizon, sessions", count),
    "quantile": Spec("Score quantile", count),
    "mean_forward_return": Spec("Mean forward return", percent_fine),
    "mean_excess_return": Spec("Mean excess return", percent_fine),
    "turnover_1d": Spec("Names changed a session", percent),
    "probabilistic_sharpe": Spec("P(Sharpe > 0)", ratio),
    "expected_max_sharpe_ann": Spec("Best Sharpe by luck", ratio),
    "deflated_sharpe": Spec("Deflated Sharpe", ratio),
    "expected_max_sharpe_vs_benchmark_ann": Spec("Best information ratio by luck", ratio),
    "deflated_sharpe_vs_benchmark": Spec("Deflated, against the benchmark", ratio),
    "min_track_record_sessions": Spec("Sessions needed", count),
    "share_of_time": Spec("Share of time", percent),
    "session_share": Spec("Share of sessions", percent),
    "crisis_or_bear_share": Spec("Crisis or Bear", percent),
    "crisis_share": Spec("Crisis", percent),
    "delay_sessions": Spec("Delay, sessions", count),
    "worst_return_63d": Spec("Worst return of 63 sessions", percent),
    "switches_ann": Spec("Switches, a year", names),
    "false_alarms_ann": Spec("False alarms, a year", names),
    "share_of_rows": Spec("Share of rows", percent_fine),
    "bought_inr": Spec("Bought", rupees),
    "pnl_inr": Spec("Profit", rupees),
    "simple_return": Spec("Return", percent),
    "depth": Spec("Depth", percent),
    "weight": Spec("Weight", percent),
    "value_inr": Spec("Value", rupees),
    "first_date": Spec("First session", count),
    "last_date": Spec("Last session", count),
}

_BY_SUFFIX: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("_inr", rupees),
    ("_bps", basis_points),
    ("_sessions", count),
    ("_days", count),
    ("_ic", correlation),
    ("_return", percent),
    ("_return_1d", percent_fine),
    ("_return_ann", percent),
    ("_volatility_ann", percent),
    ("_share", percent),
    ("_rate", percent),
    ("_rate_ann", percent),
    ("_probability", percent),
    ("_weight", percent),
    ("_drawdown", percent),
    ("_cagr", percent),
)


def spec(name: str) -> Spec:
    """The display of a column.

    An unknown name is shown by its suffix, as a count after "n_", else as a ratio; "cagr_at_2" is shown as "cagr".
    """
    return known(name) or Spec(_label(name), count if name.startswith("n_") else ratio)


def known(name: str) -> Spec | None:
    """The display of a column whose unit its name says; None for any other."""
    name = name.split(AT)[0]
    if name in SPECS:
        return SPECS[name]
    suffix = next((write for ending, write in _BY_SUFFIX if name.endswith(ending)), None)
    return Spec(_label(name), suffix) if suffix else None


def _label(name: str) -> str:
    name = name.split(AT)[0]
    label = name.removesuffix("_ann").removeprefix("n_").replace("_", " ")
    return label[:1].upper() + label[1:] + (", a year" if name.endswith("_ann") else "")


def write(name: str, value: object) -> str:
    """`value` of column `name` as text; a missing one is an en dash, text stays text."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return MISSING
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return spec(name).write(float(value))
    return str(value)


def ordinal(k: int) -> str:
    """1st, 2nd, 3rd, 4th."""
    ending = "th" if 10 <= k % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(k % 10, "th")
    return f"{k}{ending}"


def plural(k: float, noun: str, nouns: str = "") -> str:
    """1 trade, 2 trades."""
    return f"{count(k)} {noun if round(k) == 1 else nouns or noun + 's'}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """a, b and c."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _signed(text: str) -> str:
    """A true minus sign, before the rupee sign, and none before a rounded zero."""
    bare = text.replace("-", "")
    if bare == text or not any(digit in bare for digit in "123456789"):
        return bare
    return MINUS + bare
