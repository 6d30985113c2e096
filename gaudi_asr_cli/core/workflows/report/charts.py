"""Line charts and a reliability diagram as inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from gaudi_asr_cli.core.evaluation.calibration import Calibration

MAX_POINTS = 400
"""Points of a line; of more, an even selection that keeps the last."""
_WIDTH, _HEIGHT = 560, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 30, 12, 34

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class ChartLine:
    """A line of a chart; `band` holds the lower and upper bound at each point."""

    name: str
    points: Points
    band: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values to coordinates; `ticks` are round values between the bounds."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    @classmethod
    def fit(cls, values: Sequence[float], start: float, end: float) -> Scale:
        """Return a scale from a round value below all values to one above."""
        low, high = min(values), max(values)
        if high <= low:
            low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
        step = _round_step((high - low) / 4)
        low, high = floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step
        ticks = tuple(low + number * step for number in range(round((high - low) / step) + 1))
        return cls(low, high, start, end, ticks)

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def _round_step(step: float) -> float:
    """Return the smallest of 1, 2, 2.5 and 5 times a power of ten that is not below `step`."""
    power = 10.0 ** floor(log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * 0.999)


def draw_lines(title: str, lines: Sequence[ChartLine], label: Callable[[float], str]) -> str:
    """Return a line chart over training steps as an SVG element; empty without points.

    Args:
        title: What is shown.
        lines: Lines of the chart; those without points are left out.
        label: Formats a value of the vertical axis.
    """
    shown = [_thin(one) for one in lines if one.points]
    if not shown:
        return ""
    values = [value for one in shown for _, value in one.points]
    values += [bound for one in shown for pair in one.band for bound in pair]
    steps = [0.0, *(step for one in shown for step, _ in one.points)]
    x = Scale.fit(steps, _LEFT, _WIDTH - _RIGHT)
    y = Scale.fit(values, _HEIGHT - _BOTTOM, _TOP)
    last = "; ".join(f"{one.name}: {label(one.points[-1][1])} at the end" for one in shown)
    parts = [*_axes(x, y, label)]
    for number, one in enumerate(shown):
        parts += _draw_line(one, x, y, number)
    legend = [(one.name, number) for number, one in enumerate(shown)] if len(shown) > 1 else []
    parts += [
        f'<text class="key s{number}" x="{_WIDTH - _RIGHT - 4}" y="{_TOP + 12 + 16 * number}" '
        f'text-anchor="end">{escape(name)}</text>'
        for name, number in legend
    ]
    return _svg(f"{title}. {last}.", parts)


def _thin(line: ChartLine) -> ChartLine:
    number = len(line.points)
    if number <= MAX_POINTS:
        return line
    kept = sorted({round(index * (number - 1) / (MAX_POINTS - 1)) for index in range(MAX_POINTS)})
    band = [line.band[index] for index in kept] if line.band else ()
    return ChartLine(line.name, [line.points[index] for index in kept], band)


def _draw_line(line: ChartLine, x: Scale, y: Scale, number: int) -> list[str]:
    places = [(x.place(step), y.place(value)) for step, value in line.points]
    parts = []
    if line.band:
        upper = [(place[0], y.place(high)) for place, (_, high) in zip(places, line.band)]  # noqa: B905
        lower = [(place[0], y.place(low)) for place, (low, _) in zip(places, line.band)]  # noqa: B905
        parts.append(f'<polygon class="band s{number}" points="{_path([*upper, *lower[::-1]])}"/>')
    parts.append(f'<polyline class="line s{number}" points="{_path(places)}"/>')
    if len(places) <= 40:
        parts += [
            f'<circle class="dot s{number}" cx="{left:.1f}" cy="{top:.1f}" r="2.5"/>'
            for left, top in places
        ]
    return parts


def _path(places: Points) -> str:
    return " ".join(f"{left:.1f},{top:.1f}" for left, top in places)


def _axes(x: Scale, y: Scale, label: Callable[[float], str]) -> list[str]:
    parts = []
    for tick in y.ticks:
        top = y.place(tick)
        parts.append(
            f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{top:.1f}" y2="{top:.1f}"/>'
        )
        parts.append(
            f'<text x="{x.start - 6}" y="{top + 4:.1f}" text-anchor="end">'
            f"{escape(label(tick))}</text>"
        )
    for tick in x.ticks:
        if tick >= 0:
            parts.append(
                f'<text x="{x.place(tick):.1f}" y="{_HEIGHT - 14}" text-anchor="middle">'
                f"{tick:,.6g}</text>"
            )
    return parts


def draw_calibration(calibration: Calibration) -> str:
    """Return a reliability diagram as an SVG element: accuracy over confidence, with the ideal."""
    x = Scale(0, 1, _LEFT, _WIDTH - _RIGHT, (0, 0.2, 0.4, 0.6, 0.8, 1))
    y = Scale(0, 1, _HEIGHT - _BOTTOM, _TOP, (0, 0.25, 0.5, 0.75, 1))
    parts = _axes(x, y, lambda value: f"{value:.0%}")
    for one in calibration.bins:
        left, right, top = x.place(one.low) + 2, x.place(one.high) - 2, y.place(one.accuracy)
        parts.append(
            f'<rect class="bar" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{y.start - top:.1f}"><title>{one.words:,} words of confidence '
            f"{one.confidence:.2f}: {one.accuracy:.0%} correct</title></rect>"
        )
    ends = [(x.place(0), y.place(0)), (x.place(1), y.place(1))]
    parts.append(f'<polyline class="ideal" points="{_path(ends)}"/>')
    about = f"Accuracy by confidence; expected calibration error {calibration.error:.1%}."
    return _svg(about, parts)


def _svg(about: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(about)}">'
        f"{''.join(parts)}</svg>"
    )
