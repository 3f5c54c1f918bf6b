"""Answers in the shape of Yahoo's chart service, for the real yfinance to read."""

import json
from collections import Counter
from datetime import UTC, datetime
from urllib.parse import unquote

OPENING_UTC = {day: int(datetime(2023, 3, day, 3, 45, tzinfo=UTC).timestamp()) for day in range(1, 32)}


class Answer:
    def __init__(self, status_code: int, payload: object, url: str) -> None:
        self.status_code, self.url = status_code, url
        self.text = payload if isinstance(payload, str) else json.dumps(payload)
        self.content = self.text.encode()

    def json(self) -> object:
        return json.loads(self.text)

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise RuntimeError(f"HTTP {self.status_code}")


def chart(symbol: str, bars: dict[int, tuple], dividends: dict | None = None, splits: dict | None = None) -> dict:
    """A chart answer; bars by day of March 2023: (open, high, low, close, adjusted close, volume)."""
    columns = list(zip(*bars.values(), strict=True))
    events: dict = {}
    for day, amount in (dividends or {}).items():
        events.setdefault("dividends", {})[str(OPENING_UTC[day])] = {"amount": amount, "date": OPENING_UTC[day]}
    for day, ratio in (splits or {}).items():
        row = {"date": OPENING_UTC[day], "numerator": ratio, "denominator": 1, "splitRatio": f"{ratio}:1"}
        events.setdefault("splits", {})[str(OPENING_UTC[day])] = row
    meta = {
        "currency": "INR",
        "symbol": symbol,
        "exchangeName": "NSI",
        "instrumentType": "INDEX" if symbol.startswith("^") else "EQUITY",
        "gmtoffset": 19800,
        "timezone": "IST",
        "exchangeTimezoneName": "Asia/Kolkata",
        "regularMarketTime": OPENING_UTC[31],
        "regularMarketPrice": columns[3][-1],
        "priceHint": 2,
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "1y", "max"],
        "currentTradingPeriod": {
            name: {"timezone": "IST", "start": OPENING_UTC[31], "end": OPENING_UTC[31] + 22500, "gmtoffset": 19800}
            for name in ("pre", "regular", "post")
        },
    }
    quote = dict(zip(("open", "high", "low", "close"), map(list, columns[:4]), strict=True)) | {
        "volume": list(columns[5])
    }
    result = {
        "meta": meta,
        "timestamp": [OPENING_UTC[day] for day in bars],
        "events": events,
        "indicators": {"quote": [quote], "adjclose": [{"adjclose": list(columns[4])}]},
    }
    return {"chart": {"result": [result], "error": None}}


def within(payload: object, first: int, end: int) -> object:
    """What a chart answer holds of the seconds `first` to `end`, the later one excluded; bars and events alike."""
    if not isinstance(payload, dict) or not payload["chart"]["result"]:
        return payload
    [result] = payload["chart"]["result"]
    kept = [k for k, second in enumerate(result["timestamp"]) if first <= second < end]

    def cut(columns: dict) -> dict:
        return {name: [values[k] for k in kept] for name, values in columns.items()}

    events = {
        kind: inside
        for kind, rows in result["events"].items()
        if (inside := {key: row for key, row in rows.items() if first <= row["date"] < end})
    }
    indicators = {name: [cut(table[0])] for name, table in result["indicators"].items()}
    bars = {"timestamp": [result["timestamp"][k] for k in kept], "events": events, "indicators": indicators}
    return {"chart": {"result": [result | bars], "error": None}}


def no_data(description: str) -> dict:
    return {"chart": {"result": None, "error": {"code": "Not Found", "description": description}}}


class Yahoo:
    """The service: an answer by symbol, and how often it refuses first."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object]] = {}
        self.refusals: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.spans: list[tuple[int, int]] = []
        self.down: Exception | None = None

    def request(self, session: object, method: str, url: str, *args: object, **kwargs: object) -> Answer:
        if self.down is not None:
            raise self.down
        if "/v8/finance/chart/" not in url:
            return Answer(200, "crumb", url)
        symbol = unquote(url.rsplit("/", 1)[1])
        params = dict(kwargs.get("params") or {})
        self.asked[symbol] += 1
        self.spans.append((params.get("period1", 0), params.get("period2", 0)))
        if self.refusals[symbol] > 0:
            self.refusals[symbol] -= 1
            return Answer(429, "Too Many Requests", url)
        status, payload = self.answers.get(symbol, (404, no_data("No data found, symbol may be delisted")))
        return Answer(status, within(payload, params.get("period1", 0), params.get("period2", 2**40)), url)
