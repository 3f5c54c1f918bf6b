"""Yahoo as tests may ask it."""

from collections.abc import Iterator

import pytest
from yahoo_service import Yahoo


@pytest.fixture
def yahoo(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yahoo]:
    """yfinance with its HTTP session replaced."""
    yfinance = pytest.importorskip("yfinance")
    from curl_cffi.requests import Session
    from yfinance.data import YfData

    yfinance.set_tz_cache_location(str(tmp_path_factory.mktemp("yfinance")))
    service = Yahoo()
    monkeypatch.setattr(Session, "request", lambda *args, **kwargs: service.request(*args, **kwargs))
    YfData.cache_get.cache_clear()
    yield service
    YfData.cache_get.cache_clear()
