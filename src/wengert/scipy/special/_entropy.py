"""Logarithms and entropies, with their limits where a factor is 0."""

from __future__ import annotations

from typing import Any

from wengert import lax, nn, numpy as jnp
from wengert.numpy._util import ArrayLike, promote_inexact
from wengert.scipy.special._operands import reals
from wengert.transforms.custom_rules import custom_jvp

logsumexp = nn.logsumexp


def softmax(x: ArrayLike, /, *, axis: int | tuple[int, ...] | None = None) -> Any:
    """exp(x), divided by its sum over the axis; over all axes without one."""
    return nn.softmax(x, axis=axis)


def log_softmax(x: ArrayLike, /, *, axis: int | tuple[int, ...] | None = None) -> Any:
    """x - logsumexp(x, axis): the logarithm of softmax, exact where that is small."""
    return nn.log_softmax(x, axis=axis)


def expit(x: ArrayLike) -> Any:
    """1 / (1 + exp(-x))."""
    return lax.logistic(*promote_inexact("expit", x))


def logit(x: ArrayLike) -> Any:
    """log(x / (1 - x)), the inverse of expit."""
    (p,) = promote_inexact("logit", x)
    return lax.log(p) - lax.log1p(-p)


def _safe(x: Any, y: Any, below: float) -> Any:
    """1 + below where x = 0 and log(y - below) is not finite; y elsewhere."""
    return jnp.where((x == 0) & ((y <= below) | (y == jnp.inf)), 1.0 + below, y)


def xlogy(x: ArrayLike, y: ArrayLike) -> Any:
    """x log(y); 0 where x is 0, also for y <= 0."""
    x, y = promote_inexact("xlogy", x, y)
    return x * jnp.log(jnp.where(x == 0, 1.0, y) if y.dtype.kind == "c" else _safe(x, y, 0.0))


def xlog1py(x: ArrayLike, y: ArrayLike) -> Any:
    """x log(1 + y); 0 where x is 0, also for y <= -1."""
    x, y = promote_inexact("xlog1py", x, y)
    return x * jnp.log1p(jnp.where(x == 0, 0.0, y) if y.dtype.kind == "c" else _safe(x, y, -1.0))


@custom_jvp
def _xlogx(x: Any) -> Any:
    return xlogy(x, x)


@_xlogx.defjvp
def _xlogx_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return _xlogx(x), t * (jnp.log(x) + 1)  # minus infinity at 0


def entr(x: ArrayLike) -> Any:
    """-x log(x); 0 at 0, and minus infinity below."""
    (x,) = reals("entr", x)
    below = x < 0
    return jnp.where(below, -jnp.inf, -_xlogx(jnp.where(below, 1.0, x)))


def _divergence(p: Any, q: Any, entropy: Any) -> Any:
    """entropy - p + q, where the entropy is p log(p / q); without cancellation where q is near p (DLMF 4.6.4)."""
    gap = (q - p) / p
    close = jnp.abs(gap) < 0.1
    gap = jnp.where(close, gap, 0.0)
    r = gap / (2 + gap)
    odd: Any = 0.0
    for n in (13, 11, 9, 7, 5, 3):
        odd = 1 / n + r * r * odd
    return jnp.where(close, p * r * (gap - 2 * r * r * odd), entropy - p + q)


def _relative_entropy(name: str, p: Any, q: Any) -> Any:
    """p log(p / q), less p - q for kl_div, with the special cases; the derivative is 0 where it is infinite."""
    p, q = reals(name, p, q)
    both = (p > 0) & (q > 0)
    some, other = jnp.where(both, p, 1.0), jnp.where(both, q, 1.0)
    inside = some * jnp.log(some / other)
    rest: Any = jnp.zeros_like(q)
    if name == "kl_div":
        inside, rest = _divergence(some, other, inside), q
    outside = jnp.where((p == 0) & (q >= 0), rest, jnp.inf)
    return jnp.where(both, inside, jnp.where(jnp.isnan(p) | jnp.isnan(q), jnp.nan, outside))


def rel_entr(p: ArrayLike, q: ArrayLike) -> Any:
    """p log(p / q) where both are positive, 0 where p is 0 and q is not negative, and infinity elsewhere."""
    return _relative_entropy("rel_entr", p, q)


def kl_div(p: ArrayLike, q: ArrayLike) -> Any:
    """p log(p / q) - p + q, with the special cases of rel_entr."""
    return _relative_entropy("kl_div", p, q)


def boxcox(x: ArrayLike, lmbda: ArrayLike) -> Any:
    """(x**lmbda - 1) / lmbda, and log(x) where lmbda is 0."""
    x, power = promote_inexact("boxcox", x, lmbda)
    return _power_minus_one(jnp.log(x), power)


def boxcox1p(x: ArrayLike, lmbda: ArrayLike) -> Any:
    """((1 + x)**lmbda - 1) / lmbda, and log(1 + x) where lmbda is 0."""
    x, power = promote_inexact("boxcox1p", x, lmbda)
    return _power_minus_one(jnp.log1p(x), power)


def _power_minus_one(log: Any, power: Any) -> Any:
    zero = power == 0
    safe = jnp.where(zero, 1.0, power)
    return jnp.where(zero, log, jnp.expm1(safe * log) / safe)
