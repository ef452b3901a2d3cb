"""A line search for the strong Wolfe conditions.

Algorithms 3.5 and 3.6 of J. Nocedal and S. J. Wright, Numerical Optimization, 2nd edition, 2006: first the step is
doubled until an interval must hold an acceptable one, then the interval is narrowed. Both phases share one loop, with
one evaluation of the function in each turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from wengert import lax, numpy as jnp, tree

# the constants of sufficient decrease and of curvature
_DECREASE, _CURVATURE = 1e-4, 0.9
_MOST_ZOOMS = 30


class Point(NamedTuple):
    """A place along the line: the step, value, slope along the line, and gradient there."""

    step: Any
    value: Any
    slope: Any
    gradient: Any


class _State(NamedTuple):
    low: Point  # the best point so far; while doubling, the last one
    high: Point  # the other end of the interval
    last: Point  # the end that was replaced last
    zooming: Any
    doublings: Any
    zooms: Any
    found: Any
    failed: Any


class LineSearch(NamedTuple):
    """What was found; `status` is 0, 1 if the interval vanished, 3 after too many doublings."""

    point: Point
    failed: Any
    evaluations: Any
    status: Any


def _choose(which: Any, a: Point, b: Point) -> Point:
    chosen: Point = tree.map(lambda x, y: jnp.where(which, x, y), a, b)
    return chosen


def _cubic(a: Point, b: Point, c: Point) -> Any:
    """Where the cubic through three points, with the slope of the first, is least; NaN if nowhere."""
    db, dc = b.step - a.step, c.step - a.step
    rb = (b.value - a.value - a.slope * db) / (db * db)
    rc = (c.value - a.value - a.slope * dc) / (dc * dc)
    third = (rb - rc) / (db - dc)
    second = rb - third * db
    return a.step + (-second + jnp.sqrt(second * second - 3 * third * a.slope)) / (3 * third)


def _quadratic(a: Point, b: Point) -> Any:
    """Where the parabola through two points, with the slope of the first, is least."""
    db = b.step - a.step
    second = (b.value - a.value - a.slope * db) / (db * db)
    return a.step - a.slope / (2 * second)


def _between(s: _State) -> Any:
    """A step in the interval: by a cubic, a parabola, or in the middle if these come too near to an end."""
    width = jnp.abs(s.high.step - s.low.step)
    left, right = jnp.minimum(s.low.step, s.high.step), jnp.maximum(s.low.step, s.high.step)

    def is_inside(step: Any, margin: float) -> Any:
        return (step > left + margin * width) & (step < right - margin * width)

    cubic, quadratic = _cubic(s.low, s.high, s.last), _quadratic(s.low, s.high)
    by_parabola = jnp.where(is_inside(quadratic, 0.1), quadratic, (left + right) / 2)
    return jnp.where((s.zooms > 0) & is_inside(cubic, 0.2), cubic, by_parabola)


def line_search(
    evaluate: Callable[[Any], tuple[Any, Any, Any]], start: Point, first_step: Any, maxiter: Any
) -> LineSearch:
    """Search from `start`, at step 0, for a step that decreases the value enough and flattens the slope.

    Args:
      evaluate: from a step to the value, the slope and the gradient there.
      first_step: what to try first.
      maxiter: how often the step is doubled at most.
    """
    tiny = 1e-5 if jnp.finfo(start.value.dtype).bits < 64 else 1e-10

    def too_high(p: Point) -> Any:
        return p.value > start.value + _DECREASE * p.step * start.slope

    def goes_on(s: _State) -> Any:
        return ~s.found & ~s.failed & (s.zooming | (s.doublings < maxiter))

    def turn(s: _State) -> _State:
        doubled = jnp.where(s.doublings == 0, first_step, 2 * s.low.step)
        step = jnp.where(s.zooming, _between(s), doubled).astype(start.step.dtype)
        p = Point(step, *evaluate(step))
        # a NaN is too high: the interval shrinks towards points where the function is defined
        higher = (p.value >= s.low.value) & (s.zooming | (s.doublings > 0))
        is_high = too_high(p) | higher | jnp.isnan(p.value)
        found = ~is_high & (jnp.abs(p.slope) <= -_CURVATURE * start.slope)
        # the minimum is behind the point: between it and the end that is low now
        behind = jnp.where(s.zooming, p.slope * (s.high.step - s.low.step), p.slope) >= 0
        width = jnp.abs(s.high.step - s.low.step)
        vanished = s.zooming & ((width <= tiny * jnp.maximum(1, s.low.step)) | (s.zooms + 1 >= _MOST_ZOOMS))
        return _State(
            low=_choose(is_high, s.low, p),
            high=_choose(is_high, p, _choose(behind, s.low, s.high)),
            last=_choose(is_high | behind, s.high, s.low),
            zooming=s.zooming | is_high | behind,
            doublings=jnp.where(s.zooming, s.doublings, s.doublings + 1),
            zooms=jnp.where(s.zooming, s.zooms + 1, 0),
            found=found,
            failed=vanished & ~found,
        )

    no = jnp.asarray(False)
    zero = jnp.asarray(0)
    end = lax.while_loop(goes_on, turn, _State(start, start, start, no, zero, zero, no, no))
    status = jnp.where(end.found, 0, jnp.where(end.failed, 1, 3))
    return LineSearch(end.low, ~end.found, end.doublings + end.zooms, status)
