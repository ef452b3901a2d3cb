"""`pmap`: one function, run for each element of an axis by a replica of its own, in a thread of its own.

The function is staged once, for one element. The primitive `pmap` holds that jaxpr; its `impl` compiles it, and
starts a thread for each replica. Collective operations are calls back into Python, where the replicas wait for
each other (`core.axes.Meeting`); between them they run machine code, without the GIL.
"""

from __future__ import annotations

import contextvars
import operator
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from wengert import tree
from wengert.config import current
from wengert.core.array import Array, wrap
from wengert.core.avals import ShapedArray
from wengert.core.axes import Meeting, Replica, enter_replica, leave_replica, named_axes, naming_axes
from wengert.core.device import Device, local_devices
from wengert.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Var
from wengert.core.mesh import Mesh, NamedSharding, PartitionSpec
from wengert.core.primitive import Primitive
from wengert.core.source import api_boundary
from wengert.core.staging import hoist_consts, stage
from wengert.core.trace import Tracer, as_array, eval_trace, get_aval, using_trace
from wengert.core.zeros import Zero, is_undefined
from wengert.errors import ReplicaError
from wengert.prims.axes import move_axis, reduce_sum_p
from wengert.prims.lists import nonzero_mask, reject, select, spread
from wengert.prims.slicing import index_in_dim
from wengert.transforms import stages
from wengert.transforms.api_util import (
    FlatFun,
    argument_names,
    as_tuple,
    check_arraylike,
    check_callable,
    fun_name,
    operand,
    result,
    wraps,
)
from wengert.transforms.batch import BatchAxis, batch_jaxpr
from wengert.transforms.dce import dce_closed
from wengert.transforms.jit import jit
from wengert.transforms.jvp import jvp_jaxpr
from wengert.transforms.linearize import linearize_jaxpr
from wengert.transforms.memo import memoized
from wengert.transforms.transpose import transpose_jaxpr
from wengert.transforms.vmap import check_axes, flat_axes, flat_out_axes, mapped_size

# ------------------------------------------------------------------------------------------- running the replicas


@memoized
def _without_consts(closed: ClosedJaxpr) -> ClosedJaxpr:
    return hoist_consts(closed)


class _Run:
    """One call: the replicas, what they have computed and what went wrong."""

    __slots__ = ("_ended", "_errors", "_meeting", "_name", "_threads")

    def __init__(self, name: Any, size: int):
        self._name = name
        self._meeting = Meeting(size)
        self._ended = threading.Semaphore(0)
        self._errors: list[tuple[int, BaseException]] = []
        self._threads: list[threading.Thread] = []

    def _replica(self, index: int, work: Callable[[int], None]) -> None:
        try:
            enter_replica(Replica(self._name, index, self._meeting))
            with using_trace(eval_trace):
                work(index)
        except BaseException as error:
            self._errors.append((index, error))
        finally:
            leave_replica()
            self._ended.release()

    def __call__(self, work: Callable[[int], None]) -> None:
        """Run `work(index)` in a thread for each replica, and wait for all of them."""
        interruption: BaseException | None = None
        for index in range(self._meeting.size):
            context = contextvars.copy_context()
            thread = threading.Thread(
                target=context.run,
                args=(self._replica, index, work),
                name=f"wengert-replica-{index}",
                daemon=True,
            )
            self._threads.append(thread)
        started = 0
        try:
            for thread in self._threads:
                thread.start()
                started += 1
            for _ in range(started):
                self._ended.acquire()
                started -= 1
        except BaseException as error:  # Ctrl-C; or no thread could be started
            interruption = error
        if interruption is not None:
            self._cancel(started)
            raise interruption
        if self._errors:
            self._raise()

    def _cancel(self, remaining: int) -> None:
        """End the replicas. Their memory belongs to the caller, so it must not go on before they have ended."""
        self._meeting.end()
        idents = [t.ident for t in self._threads if t.ident is not None]
        while remaining:
            stages.cancel(idents)
            try:
                remaining -= self._ended.acquire(timeout=0.01)
            except KeyboardInterrupt:  # they are ending as fast as they can
                continue
        stages.cancel([])

    def _raise(self) -> None:
        """Raise what went wrong first, rather than what followed from it."""
        first = [e for e in self._errors if not isinstance(e[1], ReplicaError)]
        index, error = (first or self._errors)[0]
        error.add_note(f"It was raised in replica {index} of the {self._meeting.size} of a pmapped function.")
        raise error


def _run_replicas(
    closed: ClosedJaxpr, values: Sequence[Any], mapped: Sequence[bool], name: Any, size: int
) -> list[Any]:
    program = _without_consts(closed)
    consts = [c if type(c) is Array else as_array(c) for c in closed.consts]
    params = {
        "jaxpr": program,
        "name": closed.jaxpr.name,
        "donated_invars": (False,) * len(program.in_avals),
    }
    run = stages.compiled(program, params)
    outs = [np.empty((size, *a.shape), a.dtype) for a in closed.out_avals]
    values = [np.asarray(v) for v in values]

    def work(index: int) -> None:
        args = [
            wrap(v[index, ...] if m else v, a)
            for v, m, a in zip(values, mapped, closed.in_avals, strict=True)
        ]
        for out, found in zip(outs, run([*consts, *args]), strict=True):
            out[index] = found._np

    _Run(name, size)(work)
    return outs


# -------------------------------------------------------------------------------------------------- the primitive


def _stacked(size: int, avals: Iterable[ShapedArray]) -> list[ShapedArray]:
    return [a.update(shape=(size, *a.shape)) for a in avals]


def _pmap_avals(*avals: ShapedArray, jaxpr: ClosedJaxpr, axis_size: int, **params: Any) -> list[ShapedArray]:
    return _stacked(axis_size, jaxpr.out_avals)


def _pmap_impl(
    xp: Any,
    *args: Any,
    axis_name: Any,
    axis_size: int,
    jaxpr: ClosedJaxpr,
    mapped: tuple[bool, ...],
    **params: Any,
) -> list[Any]:
    return _run_replicas(jaxpr, args, mapped, axis_name, axis_size)


def _bind(
    args: Sequence[Any], params: dict[str, Any], jaxpr: ClosedJaxpr, mapped: Sequence[bool]
) -> list[Any]:
    outs: list[Any] = pmap_p.bind(*args, **{**params, "jaxpr": jaxpr, "mapped": tuple(mapped)})
    return outs


def _pmap_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    jaxpr, mapped = params["jaxpr"], params["mapped"]
    nonzeros = nonzero_mask(tangents)
    n = len(jaxpr.out_avals)
    closed, out_nonzeros = jvp_jaxpr(jaxpr, nonzeros, (False,) * n)
    given = [t for t in tangents if type(t) is not Zero]
    outs = _bind([*primals, *given], params, closed, [*mapped, *select(mapped, nonzeros)])
    found = spread(outs[n:], out_nonzeros)
    return outs[:n], [t if nz else Zero.of(o) for o, t, nz in zip(outs, found, out_nonzeros)]


def _pmap_linearize(nonzeros: tuple[bool, ...], *primals: Any, **params: Any) -> Any:
    jaxpr, mapped, size = params["jaxpr"], params["mapped"], params["axis_size"]
    lin = linearize_jaxpr(jaxpr, nonzeros, (False,) * len(jaxpr.out_avals))
    outs = _bind(primals, params, lin.primal, mapped)
    kept = [mapped[i] if kind == "in" else True for kind, i in lin.sources]
    flags = (*kept, *select(mapped, nonzeros))
    avals = [
        a.update(shape=(size, *a.shape)) if m else a for a, m in zip(lin.tangent.in_avals, flags, strict=True)
    ]
    invars = [Var(a) for a in avals]
    outvars = [Var(a) for a in _stacked(size, lin.tangent.out_avals)]
    eqn = Eqn(pmap_p, invars, {**params, "jaxpr": lin.tangent, "mapped": flags}, outvars)
    program = ClosedJaxpr(Jaxpr([], invars, outvars, [eqn], jaxpr.jaxpr.name))
    return outs[: lin.num_outs], lin.out_nonzeros, lin.residuals(primals, outs), program


def _pmap_transpose(cts: Sequence[Any], *args: Any, **params: Any) -> list[Any]:
    jaxpr, mapped = params["jaxpr"], params["mapped"]
    linear = tuple(is_undefined(a) for a in args)
    nonzeros = nonzero_mask(cts)
    closed, out_nonzeros = transpose_jaxpr(jaxpr, linear, nonzeros)
    operands = [*reject(args, linear), *select(cts, nonzeros)]
    outs = _bind(operands, params, closed, [*reject(mapped, linear), *[True] * sum(nonzeros)])
    found = spread(spread(outs, out_nonzeros), linear)
    return [
        ct if ct is None or m else reduce_sum_p.bind(ct, axes=(0,))  # all replicas had the same argument
        for ct, m in zip(found, mapped, strict=True)
    ]


def _pmap_batch(axis: BatchAxis, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
    jaxpr, mapped = params["jaxpr"], params["mapped"]
    if axis.name == params["axis_name"]:  # inside, the name is that of the replicas
        axis = BatchAxis(axis.size)
    closed, out_batched = batch_jaxpr(
        jaxpr, axis, tuple(d is not None for d in dims), (False,) * len(jaxpr.out_avals)
    )
    moved = [x if d is None else move_axis(x, d, int(m)) for x, d, m in zip(args, dims, mapped, strict=True)]
    return _bind(moved, params, closed, mapped), [1 if b else None for b in out_batched]


def _pmap_dce(used: Sequence[bool], eqn: Eqn) -> tuple[list[bool], Eqn | None]:
    if all(used):
        return [True] * len(eqn.invars), eqn
    pruned, used_ins = dce_closed(eqn.params["jaxpr"], tuple(used))
    if not any(used) and not pruned.effects:
        return [False] * len(eqn.invars), None
    params = {**eqn.params, "jaxpr": pruned, "mapped": tuple(select(eqn.params["mapped"], used_ins))}
    return used_ins, eqn.replace(select(eqn.invars, used_ins), params, select(eqn.outvars, used))


# jaxpr: what a replica runs; axis_name, axis_size: the axis over which they are spread, which is in front of all
# results and of the operands marked in `mapped`; devices: where they run; name: the function's
pmap_p: Primitive = Primitive(
    "pmap",
    "other",
    abstract_eval=_pmap_avals,
    impl=_pmap_impl,
    jvp=_pmap_jvp,
    linearize=_pmap_linearize,
    transpose=_pmap_transpose,
    batch=_pmap_batch,
    dce=_pmap_dce,
    multiple_results=True,
)

# ------------------------------------------------------------------------------------------------------ the public


class _Unnamed:
    """The axis of a pmapped function for which the user has no name."""

    __slots__ = ("__weakref__",)

    def __repr__(self) -> str:
        return "<axis of pmap>"


class _Staged:
    """What staging a function for one combination of argument types gave."""

    __slots__ = ("closed", "consts", "out_tree")

    def __init__(self, closed: ClosedJaxpr, out_tree: Any):
        self.consts = [operand(c) for c in closed.consts]
        self.closed = hoist_consts(closed)
        self.out_tree = out_tree


# how many devices the pmaps around the one that is being staged take
_taken: contextvars.ContextVar[int] = contextvars.ContextVar("wengert_devices_taken", default=1)


class PmapFunction:
    """A pmapped function. Made by `pmap`."""

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_devices",
        "_fun",
        "_in_axes",
        "_name",
        "_out_axes",
        "_size",
        "_staged",
        "_static",
    )

    def __init__(self, fun: Callable[..., Any], options: dict[str, Any]):
        self._fun = fun
        self._in_axes = options["in_axes"]
        self._out_axes = options["out_axes"]
        self._size = options["axis_size"]
        self._static = options["static"]
        self._devices = options["devices"]
        self._name = _Unnamed() if options["axis_name"] is None else options["axis_name"]
        self._staged: dict[Any, _Staged] = {}
        wraps(fun, self)

    @api_boundary
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, static = self._split(args)
        in_axes = self._in_axes
        if isinstance(in_axes, tuple) and static and len(in_axes) == len(args) + len(static):
            nums = dict(static)
            in_axes = tuple([a for i, a in enumerate(in_axes) if i not in nums])
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ValueError(
                "pmap in_axes must be an int, None, or a tuple of entries corresponding to the positional"
                f" arguments passed to the function, but got {len(in_axes)=}, {len(args)=}."
            )
        flat, in_tree = tree.flatten((args, kwargs))
        for i, leaf in enumerate(flat):
            check_arraylike(leaf, "pmap", argument_names(self._fun, args, kwargs)[i])
        flat = [operand(x) for x in flat]
        axes = flat_axes(in_axes, args, kwargs, "pmap")
        if not any(a is not None for a in axes):
            raise ValueError("pmap requires at least one argument with a mapped axis.")
        size, dims = mapped_size(self._fun, args, kwargs, flat, axes, self._size, "pmap")
        devices = self._devices_for(size)
        moved = [x if d is None else move_axis(x, d, 0) for x, d in zip(flat, dims, strict=True)]
        mapped = tuple(d is not None for d in dims)
        avals = [get_aval(x) for x in moved]
        inner = [a.update(shape=a.shape[1:]) if m else a for a, m in zip(avals, mapped)]
        staged = self._stage(size, in_tree, inner, static)
        outs = pmap_p.bind(
            *staged.consts,
            *moved,
            axis_name=self._name,
            axis_size=size,
            devices=devices,
            jaxpr=staged.closed,
            mapped=(False,) * len(staged.consts) + mapped,
            name=fun_name(self._fun),
        )
        to = flat_out_axes(self._out_axes, staged.out_tree, "pmap")
        return tree.unflatten(
            staged.out_tree, [self._place(o, t, devices) for o, t in zip(outs, to, strict=True)]
        )

    def _split(self, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[tuple[int, Any], ...]]:
        """The arguments that are mapped or broadcast, and the static ones, by their places."""
        nums = sorted({i + len(args) if i < 0 else i for i in self._static})
        if any(not 0 <= i < len(args) for i in nums):
            raise ValueError(
                f"pmapped function has static_broadcasted_argnums={self._static} but was called with only"
                f" {len(args)} positional argument{'s' if len(args) != 1 else ''}. All static broadcasted"
                " arguments must be passed positionally."
            )
        for i in nums:
            try:
                hash(args[i])
            except TypeError:
                raise ValueError(
                    f"Non-hashable static arguments are used in a pmapped function: argument {i} of"
                    f" {fun_name(self._fun)} is {args[i]!r:.80}, of type {type(args[i]).__name__}. Pass a tuple"
                    " in place of a list, and arrays as ordinary arguments, with None in in_axes."
                ) from None
        return tuple(a for i, a in enumerate(args) if i not in nums), tuple((i, args[i]) for i in nums)

    def _devices_for(self, size: int) -> tuple[Device, ...]:
        if self._devices is not None and len(self._devices) != size:
            raise ValueError(
                "Leading axis size of input to pmapped function must equal the number of local devices passed"
                f" to pmap. Got axis_size={size}, num_local_devices={len(self._devices)}."
            )
        available = local_devices() if self._devices is None else self._devices
        needed = size * _taken.get()
        if needed > len(available) and (self._devices is None or needed > len(local_devices())):
            inner = "" if needed == size else f" ({size} for each replica of the pmap around it)"
            raise ValueError(
                f"pmap of {fun_name(self._fun)}: compiling computation that requires {needed} logical"
                f" devices{inner}, but only {len(available)} XLA devices are available"
                f" (num_replicas={needed}). The CPU counts as as many devices as the configuration says:"
                f' wengert.config.update("jax_num_cpu_devices", {needed}), or the environment variable'
                f" JAX_NUM_CPU_DEVICES={needed}."
            )
        return tuple(available[:size])

    def _stage(self, size: int, in_tree: Any, avals: list[ShapedArray], static: tuple[Any, ...]) -> _Staged:
        key = (size, in_tree, *avals, static, current().trace_key, named_axes(), _taken.get())
        found = self._staged.get(key)
        if found is not None:
            return found
        fixed = dict(static)

        def fun(*given: Any, **kwargs: Any) -> Any:
            rest = iter(given)
            return self._fun(
                *[fixed[i] if i in fixed else next(rest) for i in range(len(given) + len(fixed))], **kwargs
            )

        flat_fun = FlatFun(fun, in_tree, wants_kwargs=True)
        flat_fun.__name__ = fun_name(self._fun)
        token = _taken.set(_taken.get() * size)
        try:
            with naming_axes([(self._name, size)]):
                closed = stage(flat_fun, avals, flat_fun.__name__)
        finally:
            _taken.reset(token)
        found = _Staged(closed, flat_fun.out_tree)
        if not any(isinstance(c, Tracer) for c in found.consts):
            self._staged[key] = found
        return found

    def _place(self, out: Any, to: int | None, devices: tuple[Device, ...]) -> Any:
        """A result with the mapped axis where `out_axes` says; of the first replica, where it says None."""
        if to is None:
            out = index_in_dim(out, 0, 0, keepdims=False)
        else:
            rank = get_aval(out).ndim
            if not -rank <= to < rank:
                raise ValueError(f"pmap out_axes: axis {to} is out of bounds for array of dimension {rank}")
            to %= rank
            out = move_axis(out, 0, to)
        out = result(out)
        if type(out) is Array:
            name = "_internal_pmap_axis_name" if isinstance(self._name, _Unnamed) else self._name
            spec = PartitionSpec() if to is None else PartitionSpec(*[None] * to, name)
            out.placement = NamedSharding(Mesh(devices, (name,)), spec)
        return out

    def trace(self, *args: Any, **kwargs: Any) -> Any:
        """As of `jit`: the function, traced for arguments of these types."""
        return jit(self.__call__, static_argnums=self._static or None).trace(*args, **kwargs)

    def lower(self, *args: Any, **kwargs: Any) -> Any:
        """As of `jit`: the function, ready to be compiled for arguments of these types."""
        return self.trace(*args, **kwargs).lower()

    def clear_cache(self) -> None:
        """Forget all that has been traced."""
        self._staged.clear()

    def __repr__(self) -> str:
        return f"<pmapped {self._fun!r}>"


def pmap(
    fun: Callable[..., Any],
    axis_name: Any = None,
    *,
    in_axes: Any = 0,
    out_axes: Any = 0,
    static_broadcasted_argnums: int | Iterable[int] = (),
    devices: Sequence[Device] | None = None,
    backend: str | None = None,
    axis_size: int | None = None,
    donate_argnums: int | Iterable[int] = (),
) -> Any:
    """Map `fun` over an axis of its arguments, each element on a device of its own, all at the same time.

    The devices of a CPU are as many as the setting `jax_num_cpu_devices` says. Each replica of `fun` runs in
    a thread of its own; where they come to a collective operation (`lax.psum` and its like) they wait for each
    other.

    Args:
      fun: a function of arrays or pytrees.
      axis_name: a name by which collective operations inside of `fun` refer to the axis.
      in_axes: the axis to map over, for all arguments, or a tuple with one entry for each: an int, None (all
        replicas get the same), or a pytree of these that is a prefix of the argument.
      out_axes: where the results have the mapped axis, as a prefix of the output; with None a result is that
        of the first replica.
      static_broadcasted_argnums: arguments that `fun` gets as they are: hashable Python values.
      devices: where to run, as many as the axis is long; by default the first ones.
      backend: "cpu" or None.
      axis_size: the size of the mapped axis, for a check.
      donate_argnums: arguments that are not used afterwards; they keep their memory here.
    Returns:
      The mapped function. Keyword arguments are mapped over their first axis.
    Raises:
      ValueError: when called: nothing is mapped, sizes differ, or there are too few devices.
      TypeError: `fun` is not callable, or `in_axes` is no int, None, tuple or list.
      RuntimeError: there is no such backend.
    """
    check_callable(fun, "pmap")
    in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
    check_axes(in_axes, out_axes, "pmap")
    if backend not in (None, "cpu"):
        raise RuntimeError(f"Unknown backend {backend!r}: the only one that is present is 'cpu'")
    options = {
        "axis_name": axis_name,
        "in_axes": in_axes,
        "out_axes": out_axes,
        "axis_size": axis_size,
        "static": tuple([operator.index(i) for i in as_tuple(static_broadcasted_argnums)]),
        "devices": None if devices is None else tuple(devices),
    }
    return PmapFunction(fun, options)
