"""Tiny line, area and bar charts as Markdown that holds an SVG. What is drawn of which table is in `pictures`.

Dagster's UI shows Markdown in place below 1,000 characters and hides longer text behind a click, so every letter
counts: whole pixels, relative steps, colors by name, one element a line. Colors can be read on white and on black,
because a picture does not know the theme of its page.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

#: Longest Markdown that the UI shows in place.
INLINE = 999
#: Pixels. The value column of an asset's page is about as wide at a window of 1,400.
WIDTH, HEIGHT, LEFT, TOP, FOOT = 420, 120, 46, 16, 16
COLORS = ("teal", "chocolate", "slateblue", "olivedrab")
AREA_COLORS = ("cadetblue", "sandybrown", "thistle")
INK, GRID = "gray", "silver"
#: Pixels of a letter; a wide font's, so that no text is cut.
LETTER = 7.0

Write = Callable[[float], str]
#: Marks that are written below an axis.
MARKS = 3
#: (value, text) along an axis.
Marks = Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Line:
    """One line: points of equal number in x and y, x ascending."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    color: str = INK


@dataclass(frozen=True)
class Frame:
    """The values at the edges of the rectangle that data are drawn in."""

    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, value: float) -> int:
        """Pixel of a value of x."""
        low, high = self.x
        return round(LEFT + (value - low) / (high - low or 1.0) * (WIDTH - LEFT - 4))

    def down(self, value: float) -> int:
        """Pixel of a value of y."""
        low, high = self.y
        return round(HEIGHT - FOOT - (value - low) / (high - low or 1.0) * (HEIGHT - FOOT - TOP))


def line_chart(lines: Sequence[Line], write: Write, marks: Marks) -> str:
    """Lines over one x axis, later ones on top; y is marked by round numbers as `write` writes them."""
    values = [value for line in lines for value in line.y]
    ticks = max((round_numbers(min(values), max(values), most) for most in (2, 3, 4)), key=lambda t: len(t) > 1)
    span = (min(*values, ticks[0]), max(*values, ticks[-1]))
    frame = Frame((min(line.x[0] for line in lines), max(line.x[-1] for line in lines)), span)
    legend = [(line.label, line.color) for line in lines]
    return _svg(HEIGHT, [_legend(legend), *_axes(frame, ticks, write, marks), *(_path(frame, line) for line in lines)])


def area_chart(series: Sequence[tuple[str, Sequence[float]]], write: Write, marks: Marks) -> str:
    """Stacked steps from zero, one a position from 0 on; `series` are (label, values) from the ground up."""
    count = len(series[0][1])
    totals = [[sum(values[n] for _, values in series[: k + 1]) for n in range(count)] for k in range(len(series))]
    ticks = round_numbers(0.0, max(1.0, *totals[-1]), most=4)
    frame = Frame((0.0, count), (0.0, max(*totals[-1], ticks[-1])))
    legend = [(label, AREA_COLORS[k]) for k, (label, _) in enumerate(series)]
    areas = [_steps(frame, total, AREA_COLORS[k]) for k, total in enumerate(totals)]  # the higher is behind the lower
    return _svg(HEIGHT, [_legend(legend), *_axes(frame, ticks, write, marks), *reversed(areas)])


def bar_chart(labels: Sequence[str], values: Sequence[float], write: Write) -> str:
    """Horizontal bars from zero with label and value before each; those below zero in the second color."""
    largest, row = max(map(abs, values)) or 1.0, 15
    texts = [f"{label} {write(value)}" for label, value in zip(labels, values, strict=True)]
    left = round(min(LETTER * max(map(len, texts)), 0.7 * WIDTH))
    room = WIDTH - left - 8
    bars = {color: "" for color in COLORS[:2]}
    for n, value in enumerate(values):
        bars[COLORS[value < 0]] += f"M{left + 5} {n * row + 7}h{round(abs(value) / largest * room) or 1}"
    drawn = [f"<path d='{path}' stroke='{color}' stroke-width='9'/>" for color, path in bars.items() if path]
    named = [_text(left, n * row + 11, text) for n, text in enumerate(texts)]
    return _svg(len(texts) * row + 2, [*named, *drawn])


def markdown(svg: str, alt: str) -> str:
    """An image in Markdown, whose link may hold < and > behind a backslash."""
    svg = svg.replace("%", "%25").replace("<", "\\<").replace(">", "\\>")
    return f"![{alt}](<data:image/svg+xml,{svg}>)"


def round_numbers(low: float, high: float, most: int = 3) -> list[float]:
    """At most `most` + 1 multiples of 1, 2, 2.5 or 5 times a power of ten that lie in low..high; `low` where equal."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(scale * size for size in (1, 2, 2.5, 5, 10) if scale * size >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)] or [low, high]


def _axes(frame: Frame, ticks: Sequence[float], write: Write, marks: Marks) -> list[str]:
    """A faint line and a number at each tick; the marks that have room below."""
    grid = "".join(f"M{LEFT} {frame.down(tick)}H{WIDTH}" for tick in ticks)
    numbers = [_text(LEFT - 5, frame.down(tick) + 4, write(tick)) for tick in ticks]
    step = max(math.ceil(len(marks) / MARKS), 1)
    below = [_text(_end(frame.across(x), text), HEIGHT - 2, text) for x, text in marks[::step]]
    return [f"<path d='{grid}' stroke='{GRID}'/>", *numbers, *below]


def _end(start: int, text: str) -> int:
    """Where a text ends that begins at `start`, or at the edge."""
    return min(round(start + 0.9 * LETTER * len(text)), WIDTH)


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    """Labels in their colors, in one row at the right."""
    (first, color), *others = entries
    rest = "".join(f" <tspan fill='{color}'>{escape(label)}</tspan>" for label, color in others)
    return f"<text x='{WIDTH}' y='10' fill='{color}'>{escape(first)}{rest}</text>"


def _text(end: int, y: int, text: str) -> str:
    return f"<text x='{end}' y='{y}'>{escape(text)}</text>"


def _path(frame: Frame, line: Line) -> str:
    points = [(frame.across(x), frame.down(y)) for x, y in zip(line.x, line.y, strict=True)]
    steps = [(x - a, y - b) for (a, b), (x, y) in pairwise(points)]
    text = "l" + " ".join(f"{x}{y}" if y < 0 else f"{x} {y}" for x, y in steps) if steps else "l1 0"
    return f"<path d='M{points[0][0]} {points[0][1]}{text}' fill='none' stroke='{line.color}'/>"


def _steps(frame: Frame, values: Sequence[float], color: str) -> str:
    """A filled outline that only turns where the value changes."""
    ground = frame.down(0.0)
    text, level = f"M{LEFT} {ground}", ground
    for n, value in enumerate(values):
        if frame.down(value) != level:
            level = frame.down(value)
            text += f"H{frame.across(n)}V{level}"
    return f"<path d='{text}H{frame.across(len(values))}V{ground}' fill='{color}'/>"


def _svg(height: int, parts: Sequence[str]) -> str:
    head = f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' fill='{INK}'"
    return f"{head} style='font:11px sans-serif;text-anchor:end'>{''.join(parts)}</svg>"
