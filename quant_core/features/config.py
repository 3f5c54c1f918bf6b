"""Which features to compute: the settings, the columns that follow from them, and the history that they need."""

from dataclasses import dataclass, field

from quant_core.errors import DataError, UnknownName
from quant_core.features.catalog import FEATURES, Feature, default_features
from quant_core.features.normalize import NORMALIZATIONS, history_sessions, normalized_name
from quant_core.features.panel import ANCHOR_REACH_SESSIONS

EVERYTHING = "all"


@dataclass(frozen=True)
class FeatureConfig:
    """Which features to compute and how to scale them.

    Args:
        names: registered features, in table order; those that are on by default unless given; ("all",) for every one.
        windows: sessions, today included; each feature uses those it can (`Feature.windows`).
        normalization: "rolling_zscore", "winsorized_zscore", "cross_sectional_rank" or "none".
        zscore_lookback: sessions of the rolling z-score.
        min_history_sessions: an eligible ticker has been listed this long.
        max_missing_share: largest share of those sessions that may lack a price.
        index_ticker: the market index among the prices; without its rows, what is measured against it is null.
        outlier_sigma: standard deviations at which "winsorized_zscore" cuts a value.
    """

    names: tuple[str, ...] = field(default_factory=default_features)
    windows: tuple[int, ...] = (1, 5, 21, 63, 126, 252)
    normalization: str = "rolling_zscore"
    zscore_lookback: int = 252
    min_history_sessions: int = 252
    max_missing_share: float = 0.20
    index_ticker: str = "^NSEI"
    outlier_sigma: float = 10.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "windows", tuple(self.windows))
        if self.normalization not in NORMALIZATIONS:
            raise UnknownName("normalization", self.normalization, NORMALIZATIONS)
        for setting, found, good, wanted in (
            ("names", self.names, self.names and len(set(self.names)) == len(self.names), "distinct names"),
            ("names", self.names, self.names == (EVERYTHING,) or EVERYTHING not in self.names, '"all" alone'),
            ("windows", self.windows, all(w >= 1 for w in self.windows), "sessions of at least 1"),
            ("windows", self.windows, self.windows and len(set(self.windows)) == len(self.windows), "distinct windows"),
            ("zscore_lookback", self.zscore_lookback, self.zscore_lookback >= 2, "at least 2 sessions"),
            ("min_history_sessions", self.min_history_sessions, self.min_history_sessions >= 1, "at least 1 session"),
            ("max_missing_share", self.max_missing_share, 0.0 <= self.max_missing_share < 1.0, "a share in [0, 1)"),
            ("outlier_sigma", self.outlier_sigma, self.outlier_sigma > 0.0, "a number above 0"),
        ):
            if not good:
                raise DataError(f"features: {setting} is {found}, wanted {wanted}; correct features.{setting}.")


def features_of(config: FeatureConfig) -> list[Feature]:
    """The features that the configuration names, in its order.

    Raises:
        UnknownName: one that is not registered.
    """
    names = list(FEATURES) if config.names == (EVERYTHING,) else config.names
    return [FEATURES[name] for name in names]


def feature_columns(config: FeatureConfig) -> list[str]:
    """Every feature column of the table, in table order: the raw ones, then the normalised ones."""
    raw = [column for column, _ in _raw_columns(config)]
    return raw + [name for name in model_columns(config) if name not in set(raw)]


def model_columns(config: FeatureConfig) -> list[str]:
    """The columns that models read: normalised, unless the configuration asks for none."""
    return [normalized_name(column, how, config.zscore_lookback) for column, how in _raw_columns(config)]


def warm_up_sessions(config: FeatureConfig) -> int:
    """Sessions of history to load before the first wanted row, so that more history would not change it."""
    eligibility = config.min_history_sessions + ANCHOR_REACH_SESSIONS
    longest = eligibility
    for entry in features_of(config):
        own = entry.warm_up_sessions(config.windows)
        reads = max(own, eligibility) if entry.scope != "ticker" else own
        how = entry.normalization(config.normalization)
        longest = max(longest, reads + history_sessions(how, config.zscore_lookback))
    return longest


def _raw_columns(config: FeatureConfig) -> list[tuple[str, str]]:
    """Raw columns and the normalisation of each."""
    columns = [
        (column, entry.normalization(config.normalization))
        for entry in features_of(config)
        for column in entry.columns(config.windows)
    ]
    names = [column for column, _ in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"features: columns {twice} come from more than one feature; rename one of them.")
    return columns
