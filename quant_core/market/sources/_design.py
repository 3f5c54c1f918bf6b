"""What may be set of the simulated market, checked when it is made."""

from dataclasses import dataclass
from datetime import date

from quant_core.errors import DataError


@dataclass(frozen=True)
class Design:
    """What a simulated market is drawn from.

    Args:
        n_tickers: SIM001, SIM002, ...; the last is listed late, the one before is delisted (from three tickers on).
        n_sectors: tickers take the sectors in turn.
        seed: another seed is another market.
        start: first day; no row exists before it.
        alpha_vol_1d: standard deviation of the latent expected return a session; 0 plants nothing.
        alpha_half_life_sessions: of the AR(1) alpha.
        sector_vol_1d: of a sector factor in the calm regime.
        idiosyncratic_vol_1d: of a ticker's own noise in the calm regime.
        missing_rate: share of rows that are left out.
        late_listing_sessions: sessions after `start` at which the last ticker is listed.
        delisting_sessions: sessions after `start` at which the last but one trades for the last time.
    """

    n_tickers: int = 30
    n_sectors: int = 6
    seed: int = 7
    start: date = date(2015, 1, 1)
    alpha_vol_1d: float = 0.0008
    alpha_half_life_sessions: float = 126.0
    sector_vol_1d: float = 0.005
    idiosyncratic_vol_1d: float = 0.013
    missing_rate: float = 0.0005
    late_listing_sessions: int = 400
    delisting_sessions: int = 1250

    def __post_init__(self) -> None:
        if self.n_tickers < 1 or self.n_sectors < 1:
            raise DataError(f"simulated: n_tickers {self.n_tickers} and n_sectors {self.n_sectors} must be at least 1.")
        if not 0.0 <= self.missing_rate < 1.0:
            raise DataError(f"simulated: missing_rate {self.missing_rate} must be in [0, 1).")
        volatilities = (self.alpha_vol_1d, self.sector_vol_1d, self.idiosyncratic_vol_1d)
        if min(volatilities) < 0.0 or self.alpha_half_life_sessions <= 0.0:
            raise DataError(
                f"simulated: alpha_vol_1d, sector_vol_1d, idiosyncratic_vol_1d {volatilities} must be at least 0 and "
                f"alpha_half_life_sessions {self.alpha_half_life_sessions} above 0."
            )
        if min(self.seed, self.late_listing_sessions, self.delisting_sessions) < 0:
            raise DataError(
                f"simulated: seed {self.seed}, late_listing_sessions {self.late_listing_sessions} and "
                f"delisting_sessions {self.delisting_sessions} must be at least 0."
            )

    @property
    def tickers(self) -> list[str]:
        """All stock tickers, in order."""
        return [f"SIM{number:03d}" for number in range(1, self.n_tickers + 1)]
