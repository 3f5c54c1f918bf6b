"""Settings of a fold's regime model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quant_core.errors import DataError, UnknownName
from quant_core.regimes.model import METHODS, Method, MethodConfig

#: Suffix of a method that reads daily aggregates of the fold's embeddings.
EMBEDDINGS = "_embeddings"


@dataclass(frozen=True)
class RegimeConfig:
    """Which methods are fitted, and how.

    Args:
        methods: registered names; with the suffix `_embeddings` a method reads daily aggregates of the fold's
            embeddings instead of market inputs.
        settings: per method, what replaces the defaults of its own settings.
        min_sessions: sessions before a fold below which it is refused; 480 are two short years.
        index_ticker: of the index whose returns are described.
        vix_ticker: of an implied volatility index; None where the source has none.
        embedding_stride: in the fit, embeddings are made for every so many sessions only.
        seed: of every random number; the same seed gives the same fit.
    """

    methods: tuple[str, ...] = ("threshold", "kmeans", "gmm", "hdbscan", "hmm", "jump")
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    min_sessions: int = 480
    index_ticker: str = "^NSEI"
    vix_ticker: str | None = None
    embedding_stride: int = 5
    seed: int = 7

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", tuple(self.methods))
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise DataError(f"regime_model: methods is {list(self.methods)}; wanted different names, at least one.")
        for name in (*self.methods, *self.settings):
            method_of(name)
        if self.min_sessions < 100 or self.embedding_stride < 1 or not 0 <= self.seed < 2**32:
            raise DataError(
                f"regime_model: min_sessions {self.min_sessions}, embedding_stride {self.embedding_stride}, seed "
                f"{self.seed}; wanted at least 100 sessions, a stride of at least 1 and a seed from 0 to 2^32 - 1."
            )
        for name in self.methods:
            self.of(name)

    def of(self, name: str) -> MethodConfig:
        """The settings of one method.

        Raises:
            DataError: a setting that the method does not have, or a value that it refuses.
        """
        own = dict(self.settings.get(name, {}))
        try:
            made: MethodConfig = method_of(name).config_class(**own)
        except TypeError as error:
            raise DataError(
                f"regime_model: settings of {name}: {error}; see docs/regimes.md for what it has."
            ) from error
        return made

    @property
    def reads_embeddings(self) -> bool:
        """Whether a method's source is the embeddings."""
        return any(is_of_embeddings(name) for name in self.methods)


def is_of_embeddings(name: str) -> bool:
    """Whether a method of that name reads embeddings."""
    return name.endswith(EMBEDDINGS)


def method_of(name: str) -> Method:
    """The registered method behind a name.

    Raises:
        UnknownName: there is none.
    """
    own = name.removesuffix(EMBEDDINGS)
    if own not in METHODS:
        raise UnknownName("regime method", name, [*METHODS, *(f"{known}{EMBEDDINGS}" for known in METHODS)])
    return METHODS[own]
