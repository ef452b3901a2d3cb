"""What calls of jitted functions do beside running the program: donate arguments, check results, keep logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wengert import tree
from wengert._lazy import lazy_module
from wengert.config import current
from wengert.core import events, key_reuse, source, watch
from wengert.core.array import Array
from wengert.core.avals import ShapedArray
from wengert.core.reference import run_jaxpr
from wengert.core.trace import as_array

if TYPE_CHECKING:
    from wengert.transforms.jit import Entry

logging = lazy_module("logging")

Run = Callable[[Sequence[Any]], Any]


# ---------------------------------------------------------------------------------------------------- donation


def usable_donations(
    donated: Sequence[bool], ins: Sequence[ShapedArray], outs: Sequence[ShapedArray]
) -> list[bool]:
    """Which donated arguments have the size of a result that could take their memory."""
    sizes = [a.nbytes for a in outs]
    found = []
    for given, aval in zip(donated, ins, strict=True):
        usable = given and aval.nbytes in sizes
        if usable:
            sizes.remove(aval.nbytes)
        found.append(usable)
    return found


def warn_of_unusable(donated: Sequence[bool], usable: Sequence[bool], ins: Sequence[ShapedArray]) -> None:
    """Tell the user of donated arguments that no result is as large as."""
    wasted = [str(a) for d, u, a in zip(donated, usable, ins, strict=True) if d and not u]
    if wasted:
        source.warn_user(
            f"Some donated buffers were not usable: {', '.join(wasted)}. No result has their size, so nothing takes"
            " their memory; they stay as they are. Leave them out of donate_argnums."
        )


def donating(run: Run, usable: Sequence[bool]) -> Run:
    """A call that gives the memory of its donated arguments back: they can't be used afterwards.

    The program sees other Arrays with the same memory, since a result may be an argument.
    """
    places = [n for n, u in enumerate(usable) if u]

    def call(flat: Sequence[Any]) -> Any:
        given = list(flat)
        arrays = [(n, x) for n, x in enumerate(given) if n in places and type(x) is Array]
        for n, x in arrays:
            if sum(y is x for y in flat) > 1:
                raise RuntimeError(
                    f"Attempt to use a buffer that was previously donated in the same call: argument {n} (counted"
                    " in leaves) is donated, but passed twice, as in f(donate(a), a). Pass a copy of it."
                )
            if x._owner is None and x._ndarray is None:
                _ = x._np  # which tells that it has been deleted
            given[n] = Array(x.aval, x._ndarray, x._owner, x._address)
        try:
            return run(given)
        finally:
            for _, x in arrays:
                x._ndarray = x._owner = None
                x._address = 0

    return call


# --------------------------------------------------------------------------------------------- checked results


def watched(run: Run, entry: Entry) -> Run:
    """A call whose results are checked, as the settings say; see `core.watch`."""
    name, jaxpr, consts = entry.params["name"], entry.jaxpr, entry.consts

    def call(flat: Sequence[Any]) -> Any:
        watch.check_execution(name)
        ids = key_reuse.check_program(jaxpr, [*consts, *flat]) if current().debug_key_reuse else None
        result = run(flat)
        if ids is not None:
            key_reuse.remember(tree.leaves(result), ids)
        found = watch.invalid([x._np for x in tree.leaves(result) if type(x) is Array])
        if found:
            one_by_one(jaxpr, [*consts, *flat])
            raise watch.not_found(name, found)
        return result

    return call


def one_by_one(jaxpr: Any, args: Sequence[Any]) -> None:
    """Run a program by the reference, which checks the results of every operation."""
    with np.errstate(all="ignore"):
        run_jaxpr(np, jaxpr, [as_array(a)._np for a in args])


# -------------------------------------------------------------------------------------------------------- logs


def log(message: str) -> None:
    """Write to the log `wengert`, at a level that is shown by default."""
    logging.getLogger("wengert").warning(message)


class Timed:
    """Context manager: tells who listens, and where `log_compiles` is set the log, how long something took."""

    __slots__ = ("event", "fun_name", "start", "what")

    def __init__(self, what: str, event: str, fun_name: str):
        self.what = what
        self.event = event
        self.fun_name = fun_name

    def __enter__(self) -> None:
        self.start = time.time()

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is not None:
            return
        end = time.time()
        events.tell_span(f"/jax/core/compile/{self.event}", self.start, end, fun_name=self.fun_name)
        if current().log_compiles:
            log(f"Finished {self.what} in {end - self.start:.6f} sec")


def explain_miss(
    name: str, key: tuple[Any, ...], seen: Sequence[tuple[Any, ...]], arg_names: Sequence[str]
) -> None:
    """Log why a function is traced: what differs from the calls for which it had been traced before."""
    line = source.current_frame()
    where = f"at {line.filename}:{line.lineno} ({line.function})" if line is not None else ""
    if not seen:
        log(f"TRACING CACHE MISS {where}:\n  never seen function: {name}")
        return
    reasons = min((_differences(key, old, arg_names) for old in seen), key=len)
    listed = "".join(f"\n  * {r}" for r in reasons)
    log(f"TRACING CACHE MISS {where}:\n  for {name}, the closest of {len(seen)} seen calls differs:{listed}")


def _differences(key: tuple[Any, ...], old: tuple[Any, ...], arg_names: Sequence[str]) -> list[str]:
    (in_tree, *avals), rest = key[:-3], key[-3:]
    (old_tree, *old_avals), old_rest = old[:-3], old[-3:]
    found = []
    if in_tree != old_tree:
        found.append(f"the structure of the arguments was {old_tree}, now it is {in_tree}")
    else:
        for arg, new, before in zip(arg_names, avals, old_avals):
            if new != before:
                found.append(f"{arg} was {_full(before)}, now it is {_full(new)}")
    whats = ("the static arguments were", "the settings that tracing depends on were", "the named axes were")
    for what, new, before in zip(whats, rest, old_rest, strict=True):
        if new != before:
            shown = "" if "settings" in what else f" {_static(before)}, now they are {_static(new)}"
            found.append(f"{what}{shown}" if shown else "the settings that tracing depends on were changed")
    return found


def _full(aval: ShapedArray) -> str:
    return aval.str_short() + (" (weakly typed)" if aval.weak_type else "")


def _static(static: Any) -> str:
    try:
        return str({place: value for place, _, value in static})
    except (TypeError, ValueError):
        return str(static)
