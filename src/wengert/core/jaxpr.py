"""The typed, functional IR: variables, equations, jaxprs, and their type checker."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from wengert.core.avals import ShapedArray, same_type
from wengert.errors import JaxprTypeError

if TYPE_CHECKING:
    from wengert.core.primitive import Primitive
    from wengert.core.source import SourceLine

_counter = itertools.count()


class Var:
    """A variable that is bound once: an argument, a constant or the result of an equation."""

    __slots__ = ("aval", "count")

    def __init__(self, aval: ShapedArray):
        self.aval = aval
        self.count = next(_counter)

    def __repr__(self) -> str:
        return f"Var{self.count}:{self.aval.str_short()}"


class Literal:
    """A scalar constant that stands in an equation."""

    __slots__ = ("aval", "val")

    def __init__(self, val: Any, aval: ShapedArray):
        self.val = val
        self.aval = aval

    def __repr__(self) -> str:
        return f"{self.val}"


Atom: TypeAlias = Var | Literal


class Eqn:
    """One application of a primitive."""

    __slots__ = ("invars", "outvars", "params", "primitive", "source")

    def __init__(
        self,
        primitive: Primitive,
        invars: Sequence[Atom],
        params: Mapping[str, Any],
        outvars: Sequence[Var],
        source: SourceLine | None = None,
    ):
        self.primitive = primitive
        self.invars = list(invars)
        self.params = dict(params)
        self.outvars = list(outvars)
        self.source = source

    def replace(
        self,
        invars: Sequence[Atom] | None = None,
        params: Mapping[str, Any] | None = None,
        outvars: Sequence[Var] | None = None,
    ) -> Eqn:
        """A copy with some of its fields replaced."""
        return Eqn(
            self.primitive,
            self.invars if invars is None else invars,
            self.params if params is None else params,
            self.outvars if outvars is None else outvars,
            self.source,
        )

    def __repr__(self) -> str:
        return f"{self.outvars} = {self.primitive.name} {self.invars}"


class Jaxpr:
    """A function as a list of equations: `constvars` and `invars` in, `outvars` out."""

    __slots__ = ("arg_names", "constvars", "eqns", "invars", "name", "outvars")

    def __init__(
        self,
        constvars: Sequence[Var],
        invars: Sequence[Var],
        outvars: Sequence[Atom],
        eqns: Sequence[Eqn],
        name: str = "",
        arg_names: tuple[str, ...] = (),
    ):
        self.constvars = list(constvars)
        self.invars = list(invars)
        self.outvars = list(outvars)
        self.eqns = list(eqns)
        self.name = name
        self.arg_names = arg_names

    @property
    def in_avals(self) -> list[ShapedArray]:
        """The types of the arguments."""
        return [v.aval for v in self.invars]

    @property
    def out_avals(self) -> list[ShapedArray]:
        """The types of the results."""
        return [v.aval for v in self.outvars]

    @property
    def effects(self) -> frozenset[str]:
        """What it does beside computing its results."""
        found: set[str] = set()
        for eqn in self.eqns:
            found |= eqn_effects(eqn)
        return frozenset(found)

    def replace(self, **fields: Any) -> Jaxpr:
        """A copy with some of its fields replaced."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return Jaxpr(**{**values, **fields})

    def pretty_print(
        self,
        *,
        source_info: bool = False,
        print_shapes: bool = True,
        custom_pp_eqn_rules: bool = True,
        name_stack: bool = False,
        print_effects: bool = False,
        use_color: bool = False,
    ) -> str:
        """The jaxpr as text, with comments beside the equations.

        Args:
          source_info: the user's lines that they come from.
          name_stack: the scopes that they are in, see `named_scope`.
          print_shapes, custom_pp_eqn_rules, print_effects, use_color: accepted for compatibility.
        """
        return _annotated(self, source_info, name_stack)

    def __str__(self) -> str:
        return _printer(self)

    __repr__ = __str__


class ClosedJaxpr:
    """A jaxpr with the values of its constants."""

    __slots__ = ("__weakref__", "consts", "jaxpr")

    def __init__(self, jaxpr: Jaxpr, consts: Sequence[Any] = ()):
        if len(consts) != len(jaxpr.constvars):
            raise JaxprTypeError(f"{len(jaxpr.constvars)} constvars, but {len(consts)} constants")
        self.jaxpr = jaxpr
        self.consts = list(consts)

    @property
    def eqns(self) -> list[Eqn]:
        """The equations."""
        return self.jaxpr.eqns

    @property
    def in_avals(self) -> list[ShapedArray]:
        """The types of the arguments."""
        return self.jaxpr.in_avals

    @property
    def out_avals(self) -> list[ShapedArray]:
        """The types of the results."""
        return self.jaxpr.out_avals

    @property
    def literals(self) -> list[Any]:
        """The values of the constants."""
        return self.consts

    @property
    def effects(self) -> frozenset[str]:
        """What it does beside computing its results."""
        return self.jaxpr.effects

    def pretty_print(self, **options: Any) -> str:
        """As `Jaxpr.pretty_print`."""
        return self.jaxpr.pretty_print(**options)

    def __str__(self) -> str:
        return str(self.jaxpr)

    __repr__ = __str__


def _unprintable(jaxpr: Jaxpr, *_: bool) -> str:
    return f"<jaxpr of {len(jaxpr.eqns)} equations>"


_printer: Callable[[Jaxpr], str] = _unprintable
_annotated: Callable[[Jaxpr, bool, bool], str] = _unprintable


def set_printer(printer: Callable[[Jaxpr], str], annotated: Callable[[Jaxpr, bool, bool], str]) -> None:
    """Say how jaxprs print, and print with comments; `pretty` does so when it is imported."""
    global _printer, _annotated
    _printer, _annotated = printer, annotated


def subjaxprs(params: Mapping[str, Any]) -> Iterator[ClosedJaxpr]:
    """The jaxprs among the parameters of an equation."""
    for value in params.values():
        if isinstance(value, ClosedJaxpr):
            yield value
        elif isinstance(value, tuple):
            yield from (v for v in value if isinstance(v, ClosedJaxpr))


def eqn_effects(eqn: Eqn) -> frozenset[str]:
    """What the equation does beside computing its results, e.g. {"ordered", "debug"}."""
    effects = eqn.primitive.effects(**eqn.params) if eqn.primitive.effects else frozenset()
    if not eqn.params:  # as of most
        return effects
    for sub in subjaxprs(eqn.params):
        effects |= sub.effects
    return effects


def check_jaxpr(jaxpr: Jaxpr | ClosedJaxpr) -> None:
    """Raise JaxprTypeError unless each variable is bound once, before its uses, with the type that its
    equation gives it."""
    if isinstance(jaxpr, ClosedJaxpr):
        jaxpr = jaxpr.jaxpr
    bound: set[Var] = set()

    def define(v: Var, where: str) -> None:
        if v in bound:
            raise JaxprTypeError(f"{v} is bound twice, the second time by {where}")
        bound.add(v)

    def use(atom: Atom, where: str) -> None:
        if isinstance(atom, Var) and atom not in bound:
            raise JaxprTypeError(f"{atom} is used by {where} but bound nowhere before")

    for v in itertools.chain(jaxpr.constvars, jaxpr.invars):
        define(v, "the arguments")
    for eqn in jaxpr.eqns:
        where = eqn.primitive.name
        for atom in eqn.invars:
            use(atom, where)
        for sub in subjaxprs(eqn.params):
            check_jaxpr(sub)
        outs = eqn.primitive.abstract_eval(*(a.aval for a in eqn.invars), **eqn.params)
        avals = outs if eqn.primitive.multiple_results else [outs]
        if len(avals) != len(eqn.outvars):
            raise JaxprTypeError(f"{where} gives {len(avals)} results, the equation binds {len(eqn.outvars)}")
        for v, aval in zip(eqn.outvars, avals, strict=True):
            if not same_type(v.aval, aval):
                raise JaxprTypeError(
                    f"{where} gives {aval.str_short()}, the equation says {v.aval.str_short()}"
                )
            define(v, where)
    for atom in jaxpr.outvars:
        use(atom, "the results")
