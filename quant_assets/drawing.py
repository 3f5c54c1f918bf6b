"""Small line and bar charts as SVG text. What is drawn of which table is in `pictures`.

Ink is a grey that can be read on white and on black, because a picture does not know which theme its page has.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

#: Pixels: what the value column of an asset's page leaves at a window of 1,400.
WIDTH = 460
INK, GRID, PALE = "#7d8791", "#9aa4ae", "#b4bbc2"
COLORS = ("#0f7bc0", "#d55e00", "#00907a", "#b0608f", "#b98900", "#7a6ad8")
LEFT, RIGHT, TOP, BOTTOM, LEGEND_ROW = 50, 8, 8, 18, 15
#: Width of a letter at the font size of 11 pixels; a wide one, so that no text is cut.
LETTER = 7.0

Write = Callable[[float], str]
#: (value, text) along an axis.
Marks = Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Line:
    """One line: points of equal number in x and y; one without a label is pale and in no legend."""

    x: Sequence[float]
    y: Sequence[float]
    label: str = ""
    color: str = PALE


@dataclass(frozen=True)
class Frame:
    """The rectangle that data are drawn in, and the values at its edges."""

    x: tuple[float, float]
    y: tuple[float, float]
    top: float
    bottom: float

    def across(self, value: float) -> float:
        """Pixel of a value of x."""
        low, high = self.x
        return LEFT + (value - low) / (high - low or 1.0) * (WIDTH - LEFT - RIGHT)

    def down(self, value: float) -> float:
        """Pixel of a value of y."""
        low, high = self.y
        return self.bottom - (value - low) / (high - low or 1.0) * (self.bottom - self.top)


def line_chart(lines: Sequence[Line], write: Write, marks: Marks, height: int = 150) -> str:
    """Lines over one x axis with the given marks, later ones on top; y has round numbers, written by `write`."""
    legend, used = _legend([(line.label, line.color) for line in lines if line.label])
    ys = [value for line in lines for value in line.y]
    ticks = round_numbers(min(ys), max(ys))
    span = (min(min(ys), ticks[0]), max(max(ys), ticks[-1]))
    frame = Frame((min(min(line.x) for line in lines), max(max(line.x) for line in lines)), span, TOP + used, height)
    pale_first = sorted(lines, key=lambda line: bool(line.label))
    parts = [
        legend,
        *_y_axis(frame, ticks, write),
        *_x_axis(frame, marks),
        *(_polyline(frame, ln) for ln in pale_first),
    ]
    return _svg(height + BOTTOM, parts)


def column_chart(series: Sequence[tuple[str, Sequence[float]]], write: Write, marks: Marks, height: int = 110) -> str:
    """Stacked columns, one a position from 0 on; `series` are (label, values) from the ground up.

    Args:
        marks: positions and their texts.
    """
    legend, used = _legend([(label, COLORS[k]) for k, (label, _) in enumerate(series)])
    count = len(series[0][1])
    totals = [sum(values[k] for _, values in series) for k in range(count)]
    ticks = round_numbers(0.0, max(totals))
    frame = Frame((-0.5, count - 0.5), (0.0, max(*totals, ticks[-1])), TOP + used, height)
    parts, ground = [legend, *_y_axis(frame, ticks, write), *_x_axis(frame, marks)], [0.0] * count
    width = max((frame.across(1) - frame.across(0)) * 0.8, 0.6)
    for k, (_, values) in enumerate(series):
        path = "".join(_column(frame, n, ground[n], values[n]) for n in range(count) if values[n] > 0)
        parts.append(f'<path d="{path}" stroke="{COLORS[k]}" stroke-width="{width:.1f}"/>')
        ground = [base + value for base, value in zip(ground, values, strict=True)]
    return _svg(height + BOTTOM, parts)


def bar_chart(labels: Sequence[str], values: Sequence[float], write: Write) -> str:
    """Horizontal bars from zero, one a label, their value behind them; negative ones in the second color."""
    row, largest = 17, max(map(abs, values)) or 1.0
    left = min(LETTER * max(map(len, labels)) + 8, WIDTH * 0.55)
    room = WIDTH - left - LETTER * max(len(write(value)) for value in values) - 10
    parts = []
    for n, (label, value) in enumerate(zip(labels, values, strict=True)):
        y, size = n * row + 3, max(abs(value) / largest * room, 0.5)
        parts += [
            _text(left - 5, y + 10, label, "end"),
            f'<rect x="{left:.1f}" y="{y}" width="{size:.1f}" height="12" fill="{COLORS[value < 0]}"/>',
            _text(left + size + 5, y + 10, write(value)),
        ]
    return _svg(len(labels) * row + 6, parts)


def round_numbers(low: float, high: float, most: int = 4) -> list[float]:
    """At most `most` + 1 multiples of 1, 2, 2.5 or 5 times a power of ten that lie in low..high; both where equal."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(scale * size for size in (1, 2, 2.5, 5, 10) if scale * size >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)] or [low, high]


def _y_axis(frame: Frame, ticks: Iterable[float], write: Write) -> list[str]:
    parts = []
    for tick in ticks:
        y = frame.down(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GRID}" stroke-opacity=".35"/>')
        parts.append(_text(LEFT - 5, y + 4, write(tick), "end"))
    return parts


def _x_axis(frame: Frame, marks: Marks) -> list[str]:
    """Marks under the frame; a text that would lie over the one before, or over the edge, is left out or moved in."""
    parts, free = [], 0.0
    for value, text in marks:
        half = LETTER * len(text) / 2
        x = min(max(frame.across(value), half), WIDTH - half)
        if x - half >= free:
            parts.append(_text(x, frame.bottom + 14, text, "middle"))
            free = x + half + LETTER
    return parts


def _polyline(frame: Frame, line: Line) -> str:
    points = " ".join(f"{frame.across(x):.1f},{frame.down(y):.1f}" for x, y in zip(line.x, line.y, strict=True))
    width = 1.6 if line.label else 1.0
    return f'<polyline points="{points}" fill="none" stroke="{line.color}" stroke-width="{width}"/>'


def _column(frame: Frame, position: int, ground: float, size: float) -> str:
    """A stroke upwards: a page repeats the picture for every month of a run, so it must stay short."""
    return f"M{frame.across(position):.1f} {frame.down(ground):.1f}V{frame.down(ground + size):.1f}"


def _legend(entries: Sequence[tuple[str, str]]) -> tuple[str, int]:
    """Labels beside a patch of their color, in as many rows as they need; the text and its height in pixels."""
    parts, x, row = [], 0.0, 0
    for label, color in entries:
        width = LETTER * len(label) + 26
        if x and x + width > WIDTH:
            x, row = 0.0, row + 1
        y = row * LEGEND_ROW + 10
        parts.append(f'<rect x="{x:.0f}" y="{y - 6}" width="10" height="4" fill="{color}"/>' + _text(x + 14, y, label))
        x += width
    return "".join(parts), (row + 1) * LEGEND_ROW if parts else 0


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, parts: Iterable[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}"'
    return f'{head} font-family="system-ui, sans-serif" font-size="11" fill="{INK}">{"".join(parts)}</svg>'
