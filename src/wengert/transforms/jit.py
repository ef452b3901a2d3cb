"""`jit`: a Python function, traced once for each combination of argument types, compiled, and called from
then on."""

from __future__ import annotations

import functools
import operator
import types
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from wengert import tree, treecode
from wengert._lazy import lazy_module
from wengert.config import current
from wengert.core.array import Array
from wengert.core.avals import ShapedArray
from wengert.core.axes import named_axes, naming_axes
from wengert.core.collector import collecting_seldom
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.source import api_boundary, filter_traceback
from wengert.core.staging import eval_jaxpr, hoist_consts, stage
from wengert.core.trace import Tracer, as_array, current_trace, eval_trace
from wengert.core.zeros import Zero, instantiate
from wengert.prims.call import jit_p
from wengert.transforms import calls
from wengert.transforms.api_util import (
    FlatFun,
    ShapeDtypeStruct,
    argument_names,
    as_tuple,
    check_callable,
    fun_name,
    is_arraylike,
    operand,
    parameter_names,
    result,
    shaped,
    wraps,
)
from wengert.transforms.memo import forget_all
from wengert.transforms.stages import Lowered, Traced

_placing = lazy_module("wengert.transforms.placing")


class Entry:
    """What tracing a jitted function for one combination of argument types gave.

    `params` are those of the `jit` equation; its operands are `consts`, then the flat arguments. `run` is
    the call of compiled code, given the flat arguments as Arrays, once there is one; there can be if the
    entry `is_concrete`.
    """

    __slots__ = ("calls", "consts", "in_tree", "is_concrete", "jaxpr", "out_tree", "params", "run")

    def __init__(self, jaxpr: ClosedJaxpr, consts: list[Any], in_tree: Any, out_tree: Any, **params: Any):
        self.jaxpr = jaxpr
        self.consts = consts
        self.in_tree = in_tree
        self.out_tree = out_tree
        self.params = {**params, "jaxpr": jaxpr}
        self.is_concrete = all(type(c) is Array for c in consts)
        self.calls = 0
        self.run: Callable[[Sequence[Array]], Any] | None = None


class _Recipe:
    """How to call a function with containers of Arrays, if they have the same structure and types again."""

    __slots__ = ("avals", "read", "run")

    def __init__(self, read: treecode.Reader, avals: list[Any], run: Callable[[Sequence[Array]], Any]):
        self.read = read
        self.avals = avals
        self.run = run


class _Cache:
    """What is known of a function that was jitted with certain options."""

    __slots__ = ("calls", "entries", "recipes")

    def __init__(self) -> None:
        # by the settings and the types of the arguments: how to call with containers that have been met before
        self.recipes: dict[Any, list[_Recipe]] = {}
        self.entries: dict[Any, Entry] = {}  # by the types of all arguments and the values of static ones
        self.calls: dict[Any, Callable[[Sequence[Array]], Any]] = {}  # see JitFunction._calls

    def clear(self) -> None:
        self.entries.clear()
        self.calls.clear()
        self.recipes.clear()


# function -> options -> what is known: jit(f)(x), said twice, traces once
_caches: weakref.WeakKeyDictionary[Any, dict[Any, _Cache]] = weakref.WeakKeyDictionary()


def _cache_of(fun: Any, options: Any) -> _Cache:
    try:
        by_options = _caches.get(fun)
        if by_options is None:
            by_options = _caches[fun] = {}
    except TypeError:  # not hashable, or no weak references to it
        return _Cache()
    found = by_options.get(options)
    if found is None:
        found = by_options[options] = _Cache()
    return found


class JitFunction:
    """A jitted function. Made by `jit`."""

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_cache",
        "_calls",
        "_donate_names",
        "_donate_nums",
        "_fun",
        "_inline",
        "_keep_unused",
        "_static_names",
        "_static_nums",
        "has_options",
    )

    # How to call for arguments that have been met before: (settings, and for each argument the aval of an
    # Array or the type of a Python number) -> the call. Calls with other arguments are not here.
    _calls: dict[Any, Callable[[Sequence[Array]], Any]]

    def __init__(
        self,
        fun: Callable[..., Any],
        static: tuple[tuple[int, ...], tuple[str, ...]],
        donate: tuple[tuple[int, ...], tuple[str, ...]],
        keep_unused: bool,
        inline: bool,
    ):
        self._fun = fun
        self._static_nums, self._static_names = static
        self._donate_nums, self._donate_names = donate
        self._keep_unused = keep_unused
        self._inline = inline
        self.has_options = bool(static[0] or static[1])
        self._cache = _cache_of(fun, (static, donate, keep_unused, inline))
        self._calls = self._cache.calls
        wraps(fun, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        key = None
        if not kwargs and current_trace() is eval_trace:
            key = (current(), *[a.aval if type(a) is Array else type(a) for a in args])
            call = self._calls.get(key)
            if call is not None:
                return call(args)
            for recipe in self._cache.recipes.get(key, ()):
                flat = recipe.read(args)
                if flat is not None and [x.aval if type(x) is Array else None for x in flat] == recipe.avals:
                    return recipe.run(flat)
        try:
            plain = key is not None and not self.has_options and _make_call is not None
            if plain and all(type(a) is Array or type(a) in _NUMBERS for a in args):
                return self._first_call(args, key)
            return self.call(args, kwargs, key)
        except Exception as error:
            filter_traceback(error)
            raise

    def _first_call(self, args: tuple[Any, ...], key: Any) -> Any:
        if current().disable_jit:
            return self.call(args, {})
        entry, flat = self.prepare(args, {})
        if not entry.is_concrete:
            return self.call(args, {})
        run = entry.run or self.first_run(entry)
        if all(type(x) is Array for x in flat):
            self._calls[key] = run
        else:
            self._calls[key] = lambda args: run([a if type(a) is Array else as_array(a) for a in args])
        return self._calls[key](args)

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: Any = None) -> Any:
        """Call by way of the `jit` primitive, under whatever trace is the current one. Calls with the same `key`
        may be remembered."""
        if current().disable_jit:
            return self._fun(*args, **kwargs)
        entry, flat = self.prepare(args, kwargs)
        if _make_call is not None and current_trace() is eval_trace and entry.is_concrete:
            run = entry.run or self.first_run(entry)
            entry.calls += 1
            if entry.calls == _OFTEN and key is not None and not self.has_options:
                self._remember(entry, run, flat, key)
            return run([x if type(x) is Array else as_array(x) for x in flat])
        flat = [operand(x) for x in flat]
        if self._inline:
            outs = eval_jaxpr(entry.jaxpr.jaxpr, entry.jaxpr.consts, *entry.consts, *flat)
        else:
            outs = jit_p.bind(*entry.consts, *flat, **entry.params)
        return tree.unflatten(entry.out_tree, [result(o) for o in outs])

    def _remember(
        self, entry: Entry, run: Callable[[Sequence[Array]], Any], flat: list[Any], key: Any
    ) -> None:
        """Write code for arguments of this structure, if they are all Arrays."""
        known = self._cache.recipes.setdefault(key, [])
        if len(known) >= _RECIPES or not all(type(x) is Array for x in flat):
            return
        read = treecode.reader(entry.in_tree.children()[0])  # of (args, kwargs)
        if read is not None:
            known.append(_Recipe(read, [x.aval for x in flat], run))

    @staticmethod
    def first_run(entry: Entry) -> Callable[[Sequence[Array]], Any]:
        """Compile, and remember how to call what was compiled."""
        assert _make_call is not None
        name, n = entry.params["name"], len(entry.consts)
        if current().log_compiles:
            types = ", ".join(map(repr, entry.jaxpr.in_avals))
            calls.log(f"Compiling jit({name}) with global shapes and types [{types}].")
        with calls.Timed(f"compilation of jit({name})", "backend_compile_duration", f"jit({name})"):
            run = _make_call(entry)
        if current().watched:
            run = calls.watched(run, entry)
        donated = entry.params["donated_invars"][n:]
        if any(donated):
            ins = entry.jaxpr.in_avals[n:]
            usable = calls.usable_donations(donated, ins, entry.jaxpr.out_avals)
            calls.warn_of_unusable(donated, usable, ins)
            run = calls.donating(run, usable)
        entry.run = run
        return run

    def prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Entry, list[Any]]:
        """The traced function for these arguments, and the flat list of those that aren't static."""
        dynamic, static = self.split_static(args, kwargs)
        flat, in_tree = tree.flatten(dynamic)
        avals: list[ShapedArray] = []
        for x in flat:
            if type(x) is Array:
                avals.append(x.aval)
                continue
            if not is_arraylike(x) and not isinstance(x, ShapeDtypeStruct | ShapedArray):
                raise TypeError(self.bad_argument(dynamic, len(avals), x))
            avals.append(shaped(x))
        key = (in_tree, *avals, static, current().trace_key, named_axes())
        entry = self._cache.entries.get(key)
        if entry is None:
            entry = self.trace_entry(dynamic, static, avals, in_tree, key)
            if not any(isinstance(c, Tracer) for c in entry.consts):
                self._cache.entries[key] = entry
        return entry, flat

    def split_static(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...]]:
        """The dynamic arguments, (args, kwargs); and the static ones, as hashable (place, value) pairs."""
        if not self._static_nums and not self._static_names:
            return (args, kwargs), ()
        nums = {i + len(args) if i < 0 else i for i in self._static_nums}
        static: list[tuple[int | str, Any]] = [(i, args[i]) for i in sorted(nums) if 0 <= i < len(args)]
        static += [(k, kwargs[k]) for k in sorted(self._static_names) if k in kwargs]
        for place, value in static:
            try:
                hash(value)
            except TypeError as error:
                raise ValueError(
                    f"Non-hashable static arguments are used in a jit function: argument {place!r} of"
                    f" {fun_name(self._fun)} is {value!r:.80}, of type {type(value).__name__} ({error})."
                    " Static arguments are remembered by value: pass a tuple in place of a list, and arrays"
                    " as ordinary arguments."
                ) from None
        positional = tuple(a for i, a in enumerate(args) if i not in nums)
        return (positional, {k: v for k, v in kwargs.items() if k not in self._static_names}), tuple(
            (place, type(value), value) for place, value in static
        )

    def bad_argument(self, dynamic: Any, position: int, x: Any) -> str:
        """What the error says of an argument that is no array."""
        return (
            f"Error interpreting argument to {fun_name(self._fun)} as an abstract array. The problematic"
            f" value is of type {type(x)} and was passed to the function as"
            f" {self.argument_names(dynamic, ())[position]}. Arguments of jitted functions are arrays,"
            " numbers, and containers of them. For anything else say that it is static, with static_argnums"
            " or static_argnames, or let the function close over it."
        )

    def argument_names(self, dynamic: Any, static: tuple[Any, ...]) -> list[str]:
        """What to call the dynamic leaves in messages."""
        args, kwargs = self.merge(dynamic, static, mark=True)
        names = argument_names(self._fun, args, kwargs)
        return [n for n, x in zip(names, tree.leaves((args, kwargs))) if x is not _STATIC]

    @staticmethod
    def merge(
        dynamic: Any, static: tuple[Any, ...], mark: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """All arguments again; static values are replaced by a mark if asked."""
        if not static:
            return tuple(dynamic[0]), dict(dynamic[1])
        by_place = {place: _STATIC if mark else value for place, _, value in static}
        rest, merged = iter(dynamic[0]), []
        for i in range(len(dynamic[0]) + sum(isinstance(p, int) for p in by_place)):
            merged.append(by_place[i] if i in by_place else next(rest))
        by_name = {p: v for p, v in by_place.items() if isinstance(p, str)}
        return tuple(merged), {**dynamic[1], **by_name}

    def trace_entry(
        self, dynamic: Any, static: tuple[Any, ...], avals: list[Any], in_tree: Any, key: tuple[Any, ...]
    ) -> Entry:
        """Trace the function."""
        name = fun_name(self._fun)
        settings = current()
        if settings.no_tracing:
            raise RuntimeError(f"re-tracing function {name} for `jit`, but 'no_tracing' is set")
        if settings.explain_cache_misses:
            calls.explain_miss(name, key, list(self._cache.entries), self.argument_names(dynamic, static))

        def fun(*args: Any, **kwargs: Any) -> Any:
            merged, by_name = self.merge((args, kwargs), static)
            return self._fun(*merged, **by_name)

        flat_fun = FlatFun(fun, in_tree, wants_kwargs=True)
        flat_fun.__name__ = name
        structure = tree.unflatten(in_tree, list(range(len(avals))))
        timed = calls.Timed(f"tracing + transforming {name} for jit", "jaxpr_trace_duration", name)
        with timed, collecting_seldom:
            closed = stage(flat_fun, avals, name, lambda: self.argument_names(structure, static))
        consts = [operand(c) for c in closed.consts]
        hoisted = hoist_consts(closed)
        params: dict[str, Any] = {"name": name}
        donated = self.donated(structure, static)
        params["donated_invars"] = (False,) * len(consts) + (donated or (False,) * len(avals))
        params["keep_unused"] = self._keep_unused
        params["inline"] = self._inline
        return Entry(hoisted, consts, in_tree, flat_fun.out_tree, **params)

    def donated(self, structure: Any, static: tuple[Any, ...]) -> tuple[bool, ...]:
        """Which dynamic leaves are donated; () for none."""
        if not self._donate_nums and not self._donate_names:
            return ()
        args, kwargs = self.merge(structure, static, mark=True)
        nums = {i + len(args) if i < 0 else i for i in self._donate_nums}
        flags = [i in nums for i, arg in enumerate(args) for leaf in tree.leaves(arg) if leaf is not _STATIC]
        for key in sorted(kwargs):
            flags += [key in self._donate_names for leaf in tree.leaves(kwargs[key]) if leaf is not _STATIC]
        return tuple(flags)

    # ------------------------------------------------------------------------------------------ stages

    @api_boundary
    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """Trace for arguments of these types, which may be `ShapeDtypeStruct`s, without compiling or
        running."""
        entry, flat = self.prepare(args, kwargs)
        return Traced(self, entry, [shaped(x) for x in flat])

    @api_boundary
    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """`trace(...).lower()`."""
        return self.trace(*args, **kwargs).lower()

    @api_boundary
    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The shapes and dtypes of the result, as a pytree of `ShapeDtypeStruct`."""
        return self.trace(*args, **kwargs).out_info

    def clear_cache(self) -> None:
        """Forget all that has been traced and compiled."""
        self._cache.clear()

    def _cache_size(self) -> int:
        return len(self._cache.entries)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<jitted {self._fun!r}>"


_OFTEN = 3  # calls of one structure after which code is written for it
_RECIPES = 4  # structures for the same types of arguments
_STATIC = object()
_NUMBERS = frozenset((bool, int, float, complex))
_make_call: Callable[[Entry], Callable[[Sequence[Array]], Any]] | None = None
_prepare: Callable[[], object] | None = None


def set_call_maker(
    make: Callable[[Entry], Callable[[Sequence[Array]], Any]], prepare: Callable[[], object] | None = None
) -> None:
    """Say how a traced function becomes a call of compiled code, for arguments that are Arrays; the
    dispatcher, a layer above, does so. `prepare` is told when a function is jitted, which is before it is called."""
    global _make_call, _prepare
    _make_call = make
    _prepare = prepare


def clear_caches() -> None:
    """Forget all traced functions, and what was compiled from them."""
    for by_options in list(_caches.values()):
        for cache in by_options.values():
            cache.clear()
    forget_all()


def _both_ways(fun: Any, nums: Any, names: Any, what: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Positions and names of arguments; each fills in the other, as an argument may be passed both ways."""
    if nums is None and names is None:
        return (), ()
    given_nums = as_tuple(nums)
    for i in given_nums:
        try:
            operator.index(i)
        except TypeError:
            raise TypeError(f"{what}_argnums takes an int or a sequence of ints, got {nums!r}") from None
    given_names = as_tuple(names)
    if not all(isinstance(n, str) for n in given_names):
        raise TypeError(f"{what}_argnames takes a name or a sequence of names, got {names!r}")
    positional, keyword_only, variadic = parameter_names(fun)
    for i in given_nums:
        if positional and not variadic and not -len(positional) <= i < len(positional):
            raise ValueError(
                f"Jitted function has {what}_argnums={tuple(given_nums)}, but only accepts {len(positional)} "
                f"positional arguments: {fun_name(fun)}({', '.join(positional)})"
            )
    if positional and not variadic:
        given_nums = tuple(i % len(positional) for i in given_nums)
    if not accepts_any_keyword(fun):
        for n in given_names:
            if n not in positional and n not in keyword_only:
                raise ValueError(
                    f"Jitted function has invalid argnames {{{n!r}}} in {what}_argnames. Function does not"
                    f" take these args: {fun_name(fun)}({', '.join([*positional, *keyword_only])})"
                )
    if names is None:
        return given_nums, tuple(positional[i] for i in given_nums if -len(positional) <= i < len(positional))
    if nums is None:
        return tuple(positional.index(n) for n in given_names if n in positional), given_names
    return given_nums, given_names


def accepts_any_keyword(fun: Any) -> bool:
    """Whether a function may have a **kwargs."""
    code = getattr(getattr(fun, "__func__", fun), "__code__", None)
    return code is None or hasattr(fun, "__wrapped__") or bool(code.co_flags & 0x08)


def jit(
    fun: Callable[..., Any] | None = None,
    /,
    *,
    in_shardings: Any = None,
    out_shardings: Any = None,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
    keep_unused: bool = False,
    device: Any = None,
    backend: str | None = None,
    inline: bool = False,
    compiler_options: dict[str, Any] | None = None,
) -> Any:
    """Compile `fun`, when it is first called, for the types of its arguments.

    `fun` is traced: run once with abstract arguments, to record what it computes. So it must be pure, and
    its Python control flow can depend on shapes, dtypes and static arguments, but not on values.

    Args:
      fun: a function of arrays or pytrees. Without it, `jit(static_argnames="n")` is a decorator.
      static_argnums, static_argnames: arguments that `fun` gets as they are: hashable Python values, for
        each of which it is traced anew. Given one, the other follows from the signature.
      donate_argnums, donate_argnames: arguments whose memory the results may take; they can't be used
        afterwards, neither if an exception or Ctrl-C has ended the call.
      keep_unused: keep arguments that `fun` does not use.
      inline: when called inside of another traced function, leave no trace of the call in its jaxpr.
      in_shardings: how the arguments are spread over devices, as a prefix of them: their shapes are checked.
      out_shardings: how the results are, as a prefix of them; they say so afterwards.
      device: where the results are.
      backend, compiler_options: accepted for compatibility: programs run on the CPU that the process has.
    Returns:
      A function that behaves as `fun`, with the methods `lower`, `trace`, `eval_shape` and `clear_cache`.
    Raises:
      TypeError: `fun` is not callable; when called: an argument is no array.
      ValueError: a static argument is not hashable, or does not exist.
    """
    if fun is None:
        return lambda f: jit(
            f,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
            donate_argnums=donate_argnums,
            donate_argnames=donate_argnames,
            keep_unused=keep_unused,
            device=device,
            inline=inline,
            in_shardings=in_shardings,
            out_shardings=out_shardings,
        )
    check_callable(fun, "jit")
    static = _both_ways(fun, static_argnums, static_argnames, "static")
    donate = _both_ways(fun, donate_argnums, donate_argnames, "donate")
    both = sorted({*static[0]} & {*donate[0]}), sorted({*static[1]} & {*donate[1]})
    if both[0] or both[1]:
        raise ValueError(
            f"static_argnames and donate_argnames cannot intersect. Arguments {both[1] or both[0]} appear in both:"
            " a static argument is a Python value, whose memory no result can take."
        )
    if _prepare is not None:
        _prepare()
    jitted = JitFunction(fun, static, donate, keep_unused, inline)
    if in_shardings is None and out_shardings is None and device is None:
        return jitted
    return _placing.with_shardings(fun, jitted, static[0], in_shardings, out_shardings, device)


def make_jaxpr(
    fun: Callable[..., Any],
    static_argnums: int | Sequence[int] = (),
    axis_env: Sequence[tuple[Any, int]] | None = None,
    return_shape: bool = False,
) -> Callable[..., Any]:
    """A function that returns the jaxpr of `fun` for its arguments.

    Args:
      fun: a function of arrays or pytrees.
      static_argnums: arguments that `fun` gets as they are.
      axis_env: names and sizes of axes that collective operations in `fun` refer to.
      return_shape: return also the shapes and dtypes of the result, as a pytree of `ShapeDtypeStruct`.
    """
    check_callable(fun, "make_jaxpr")
    static = {operator.index(i) for i in as_tuple(static_argnums)}

    @api_boundary
    def jaxpr_maker(*args: Any, **kwargs: Any) -> Any:
        nums = {i + len(args) if i < 0 else i for i in static}
        dynamic = tuple(a for i, a in enumerate(args) if i not in nums)

        def partial(*given: Any, **by_name: Any) -> Any:
            rest = iter(given)
            return fun(*(a if i in nums else next(rest) for i, a in enumerate(args)), **by_name)

        partial.__name__ = fun_name(fun)
        flat, in_tree = tree.flatten((dynamic, kwargs))
        flat_fun = FlatFun(partial, in_tree, wants_kwargs=True)
        with naming_axes(axis_env or ()):
            closed = stage(flat_fun, [shaped(x) for x in flat], fun_name(fun))
        closed = ClosedJaxpr(closed.jaxpr, [operand(c) for c in closed.consts])
        if not return_shape:
            return closed
        return closed, tree.unflatten(flat_fun.out_tree, [shape_struct(a) for a in closed.out_avals])

    made = wraps(fun, jaxpr_maker, "The jaxpr of {fun}.")
    made.__name__ = f"make_jaxpr({fun_name(fun)})"
    return made  # type: ignore[no-any-return]


def shape_struct(aval: ShapedArray) -> ShapeDtypeStruct:
    return ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)


@api_boundary
def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The shapes and dtypes of `fun(*args, **kwargs)`, without computing it.

    Args:
      fun: a function of arrays or pytrees.
      args, kwargs: its arguments, or anything in their place that has a shape and a dtype.
    Returns:
      A pytree of `ShapeDtypeStruct`. `fun` may return such itself, in the place of arrays.
    """
    if isinstance(fun, JitFunction):
        return fun.eval_shape(*args, **kwargs)
    flat, in_tree = tree.flatten((args, kwargs))

    @functools.wraps(fun)
    def of_arrays(*args: Any, **kwargs: Any) -> Any:
        return tree.map(
            lambda x: instantiate(Zero(shaped(x))) if isinstance(x, ShapeDtypeStruct) else x,
            fun(*args, **kwargs),
        )

    flat_fun = FlatFun(of_arrays, in_tree, wants_kwargs=True)
    closed = stage(flat_fun, [shaped(x) for x in flat], fun_name(fun))
    return tree.unflatten(flat_fun.out_tree, [shape_struct(a) for a in closed.out_avals])
