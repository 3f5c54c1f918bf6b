"""What a feature is: a decorated function of the panel and what it promises about its columns.

Belongs here: the registry and the decorator. Does not belong here: computing (`engine.py`) and any one feature.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quant_core.errors import DataError
from quant_core.features.normalize import applied
from quant_core.features.panel import ANCHOR_REACH_SESSIONS, Panel
from quant_core.features.shapes import FloatPanel
from quant_core.registry import Registry

FeatureFunction = Callable[[Panel, Sequence[int]], dict[str, FloatPanel]]

#: "ticker" reads a ticker's own rows and the market index, so it may be computed on any subset of tickers;
#: "cross_section" compares the tickers of a day; "market" is one series, the same for every ticker.
SCOPES = ("ticker", "cross_section", "market")
#: Of a feature that does not say where in the default table it stands: after those that do.
LAST_PLACE = 1000


@dataclass(frozen=True)
class Feature:
    """One registered feature: a function of (panel, windows) and what it promises.

    Args:
        templates: its column names, `{w}` standing for the window; a name without it is computed once.
        shortest_window: configured windows below it are not used by this feature.
        longest_window: configured windows above it are not used; None for no limit.
        fixed_windows: windows used instead of the configured ones, for a feature that has its own.
        reads: columns of CleanPrices that the panel must hold beside the keys and `total_return_1d`.
        scope: one of SCOPES; decides which rows the function sees at once and how it can be normalised.
        default: computed unless the settings name features themselves.
        is_scaled: its columns are in comparable units already and get no normalised twin.
        place: where its columns stand in the default table, the lowest first; features of one place by name.
        summary: first line of the function's docstring.
    """

    name: str
    function: FeatureFunction
    templates: tuple[str, ...]
    shortest_window: int
    longest_window: int | None
    fixed_windows: tuple[int, ...] | None
    reads: tuple[str, ...]
    scope: str
    default: bool
    place: int
    is_scaled: bool
    summary: str

    def windows(self, configured: Sequence[int]) -> tuple[int, ...]:
        """The windows that this feature uses out of the configured ones."""
        if self.fixed_windows is not None:
            return self.fixed_windows
        used = tuple(w for w in configured if self.shortest_window <= w <= (self.longest_window or w))
        if not used:
            most = "" if self.longest_window is None else f" and ends at {self.longest_window}"
            raise DataError(
                f"features: none of the windows {list(configured)} is long enough for {self.name}, which starts at "
                f"{self.shortest_window} sessions{most}; add such a window or drop the feature."
            )
        return used

    def columns(self, configured: Sequence[int]) -> list[str]:
        """Raw column names for the configured windows, in table order."""
        return self.columns_of(self.windows(configured))

    def columns_of(self, windows: Sequence[int]) -> list[str]:
        """Raw column names for exactly these windows."""
        return [name for t in self.templates for name in ([t.format(w=w) for w in windows] if "{w}" in t else [t])]

    def normalization(self, wanted: str) -> str:
        """What `wanted` does to it: nothing to what is scaled already; one series for the market cannot be ranked."""
        return "none" if self.is_scaled else applied(wanted, self.scope)

    def warm_up_sessions(self, configured: Sequence[int]) -> int:
        """Sessions of history that a value needs before its own session."""
        return max(self.windows(configured)) + ANCHOR_REACH_SESSIONS


FEATURES: Registry[Feature] = Registry("feature", "quant_core.features")


def feature(
    name: str,
    *,
    columns: tuple[str, ...],
    shortest_window: int = 1,
    longest_window: int | None = None,
    fixed_windows: tuple[int, ...] | None = None,
    reads: tuple[str, ...] = (),
    scope: str = "ticker",
    default: bool = False,
    place: int = LAST_PLACE,
    is_scaled: bool = False,
) -> Callable[[FeatureFunction], FeatureFunction]:
    """Register a function as the feature `name`; the arguments are those of `Feature`.

    Raises:
        DataError: a scope that is none of SCOPES.
    """
    if scope not in SCOPES:
        raise DataError(f"feature {name}: scope is {scope!r}, wanted one of {SCOPES}.")

    def add(function: FeatureFunction) -> FeatureFunction:
        summary = (function.__doc__ or "").strip().split("\n")[0]
        windows = shortest_window, longest_window, fixed_windows
        entry = Feature(name, function, columns, *windows, reads, scope, default, place, is_scaled, summary)
        FEATURES.register(name)(entry)
        return function

    return add


def default_features() -> tuple[str, ...]:
    """Names of the features that are computed unless the settings say which, in table order."""
    return tuple(sorted((name for name in FEATURES if FEATURES[name].default), key=lambda name: FEATURES[name].place))


def require_windows(name: str, windows: Sequence[int], at_least: int) -> None:
    """Raise a DataError that names the windows below `at_least` sessions."""
    short = [w for w in windows if w < at_least]
    if short:
        raise DataError(f"{name}: windows {short} are below {at_least} session(s); remove them from features.windows.")
