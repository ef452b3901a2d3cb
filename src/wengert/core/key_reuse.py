"""Finding random keys that are used twice, where the setting `debug_key_reuse` asks for it.

Every key has an identity, a number. Operations that move elements about move identities: their `impl` runs on the
array of these numbers in place of the keys. An operation that uses keys up (`Primitive.keys` says which do)
marks their identities with the user's line; to find a mark is the error. Operations that run at once and the
equations of a program that was traced take the same path; of a loop two turns are looked at.
"""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.array import Array
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr, Eqn, Literal
from wengert.core.source import SourceLine, current_frame, user_context
from wengert.errors import KeyReuseError

Ids = np.ndarray[Any, Any]
_numbers = itertools.count()
_used: dict[int, SourceLine | None] = {}  # identity -> the user's line that used the key up
_arrays: dict[int, tuple[Any, Ids]] = {}  # id of an array of keys -> a weak reference to it, its identities


def _new(aval: ShapedArray) -> Ids:
    return np.array(list(itertools.islice(_numbers, aval.size)), np.int64).reshape(aval.shape)


def _is_key(aval: ShapedArray) -> bool:
    return dtypes.is_key_dtype(aval.dtype)


def _of_array(x: Any) -> Ids | None:
    """The identities of an array of keys; None for other values."""
    if not isinstance(x, Array) or not _is_key(x.aval):
        return None
    found = _arrays.get(id(x))
    if found is None:
        remember([x], [_new(x.aval)])
        found = _arrays[id(x)]
    return found[1]


def remember(arrays: Sequence[Any], ids: Sequence[Ids | None]) -> None:
    """Say which keys arrays hold."""
    for x, own in zip(arrays, ids, strict=True):
        if own is not None and isinstance(x, Array):
            _arrays[id(x)] = (weakref.ref(x, functools.partial(_forget, id(x))), own)


def _forget(number: int, _: Any) -> None:
    _arrays.pop(number, None)


def check(prim: Any, args: Sequence[Any], params: dict[str, Any], avals: Sequence[ShapedArray]) -> list[Any]:
    """Look at an operation that runs at once; the identities of its results, whose avals are given."""
    ids = [_of_array(a) for a in args]
    try:
        return _apply(prim, params, ids, args, avals, None)
    except _Reused as found:
        raise _error(found.name, found.first, found.second or current_frame()) from None


def check_program(closed: ClosedJaxpr, args: Sequence[Any]) -> list[Ids | None]:
    """Look at a traced program that is about to run; the identities of its results."""
    ids = [_of_array(a) for a in args]
    given = {number for own in ids if own is not None for number in own.ravel().tolist()}
    before = given & _used.keys()
    try:
        outs = _walk(closed, ids)
    except _Reused as found:
        if found.number in before:  # the call is what uses the key again
            raise _error("a jit-compiled function", found.first, current_frame()) from None
        raise _error(found.name, found.first, found.second) from None
    _used.update(dict.fromkeys((given & _used.keys()) - before, current_frame()))
    return outs


def _walk(closed: ClosedJaxpr, args: Sequence[Ids | None]) -> list[Ids | None]:
    env: dict[Any, Ids | None] = dict(zip(closed.jaxpr.invars, args, strict=True))
    env.update(zip(closed.jaxpr.constvars, map(_of_array, closed.consts), strict=True))

    def read(atom: Any) -> Ids | None:
        if isinstance(atom, Literal):
            return _of_array(atom.val)
        found = env.get(atom)
        return _new(atom.aval) if found is None and _is_key(atom.aval) else found

    for eqn in closed.eqns:
        if not _concerns(eqn):
            continue
        values = [a.val if isinstance(a, Literal) else None for a in eqn.invars]
        avals = [v.aval for v in eqn.outvars]
        found = _apply(eqn.primitive, eqn.params, [read(a) for a in eqn.invars], values, avals, eqn.source)
        env.update(zip(eqn.outvars, found, strict=True))
    return [read(a) for a in closed.jaxpr.outvars]


def _concerns(eqn: Eqn) -> bool:
    held = any("jaxpr" in name or name == "branches" for name in eqn.params)
    return held or any(_is_key(v.aval) for v in (*eqn.invars, *eqn.outvars))


def _apply(
    prim: Any,
    params: dict[str, Any],
    ids: Sequence[Ids | None],
    values: Sequence[Any],
    avals: Sequence[ShapedArray],
    line: SourceLine | None,
) -> list[Ids | None]:
    """One operation: the identities of its results. `values` are the operands where they are known, else None."""
    if prim.kind in ("call", "control"):
        found = _inside(params, list(ids))
    else:
        if prim.keys == "consume":
            for own in ids:
                if own is not None:
                    _use(own, prim.name, line)
        found = _moved(prim, params, ids, values) if prim.keys == "move" else []
    if len(found) != len(avals):
        found = [None] * len(avals)
    fits = [f is not None and f.shape == a.shape for f, a in zip(found, avals)]
    return [(f if ok else _new(a)) if _is_key(a) else None for f, a, ok in zip(found, avals, fits)]


def _moved(
    prim: Any, params: dict[str, Any], ids: Sequence[Ids | None], values: Sequence[Any]
) -> list[Ids | None]:
    """Where an operation puts the identities; nothing if that depends on values that are not known yet."""
    operands = [v if own is None else own for own, v in zip(ids, values)]
    if all(own is None for own in ids) or any(x is None for x in operands):
        return []
    try:
        out = prim.impl(np, *[x._np if isinstance(x, Array) else x for x in operands], **params)
    except (TypeError, ValueError):  # an operation that is not about moving elements, such as `eq` in words
        return []
    return list(out) if prim.multiple_results else [out]


def _use(own: Ids, name: str, line: SourceLine | None) -> None:
    """Mark keys as used up, at a line of the program or at the one that is running."""
    numbers = own.ravel().tolist()
    for number in numbers:
        if number in _used:
            raise _Reused(number, name, _used[number], line)
    _used.update(dict.fromkeys(numbers, current_frame() if line is None else line))


class _Reused(Exception):
    """A key is used again."""

    def __init__(self, number: int, name: str, first: SourceLine | None, second: SourceLine | None):
        self.number, self.name, self.first, self.second = number, name, first, second


def _error(name: str, first: SourceLine | None, second: SourceLine | None) -> BaseException:
    places = [
        "an unknown line" if p is None else f"{p.filename}:{p.lineno} ({p.function}): {p.text()}"
        for p in (first, second)
    ]
    message = (
        f"Previously-consumed key passed to {name}.\n  first used at  {places[0]}\n  and again at   {places[1]}\n"
        "Equal keys give equal numbers. Make a key for each use: key, subkey = random.split(key); or, where the"
        " same numbers are wanted, say so by random.clone(key)."
    )
    return user_context(KeyReuseError(message), second)


# ------------------------------------------------------------------------------------- operations with programs


def _inside(params: dict[str, Any], ids: list[Ids | None]) -> list[Ids | None]:
    """What the programs that an operation holds do with keys."""
    if params.get("differentiated"):  # it computes again what has been computed before, on purpose
        return []
    if "branches" in params:
        return _branches(params["branches"], ids[1:])
    if "body_jaxpr" in params:
        return _while(ids, **params)
    if "num_carry" in params:
        return _scan(ids, **params)
    closed = params.get("jaxpr", params.get("call_jaxpr"))
    if isinstance(closed, ClosedJaxpr) and len(closed.in_avals) == len(ids):
        return _walk(closed, ids)
    return []


def _branches(branches: Sequence[ClosedJaxpr], ids: Sequence[Ids | None]) -> list[Ids | None]:
    """Only one of the branches runs: each finds what was used before, and all that they use is used after."""
    before, after = dict(_used), dict(_used)
    outs = []
    for branch in branches:
        _restore(before)
        outs.append(_walk(branch, ids))
        after.update(_used)
    _restore(after)
    return [each[0] if all(np.array_equal(o, each[0]) for o in each) else None for each in zip(*outs)]


def _restore(state: dict[int, SourceLine | None]) -> None:
    _used.clear()
    _used.update(state)


def _while(
    ids: list[Ids | None],
    *,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
    **_: Any,
) -> list[Ids | None]:
    cond, body = ids[:cond_nconsts], ids[cond_nconsts : cond_nconsts + body_nconsts]
    carry = ids[cond_nconsts + body_nconsts :]
    for _turn in range(2):
        _walk(cond_jaxpr, [*cond, *carry])
        carry = _walk(body_jaxpr, [*body, *carry])
    return carry


def _scan(
    ids: list[Ids | None], *, jaxpr: ClosedJaxpr, length: int, num_consts: int, num_carry: int, **_: Any
) -> list[Ids | None]:
    consts, carry = ids[:num_consts], ids[num_consts : num_consts + num_carry]
    xs = ids[num_consts + num_carry :]
    for turn in range(min(length, 2)):
        outs = _walk(jaxpr, [*consts, *carry, *[None if x is None else x[turn] for x in xs]])
        carry = outs[:num_carry]
    for x in xs:
        if x is not None and length > 2 and _is_used(x[:2]):
            _use(x[2:], "scan", None)  # what is done with the first two is done with the others
    return [*carry, *[None] * (len(jaxpr.out_avals) - num_carry)]


def _is_used(own: Ids) -> bool:
    return all(number in _used for number in own.ravel().tolist())
