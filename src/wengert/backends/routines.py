"""Elementary functions that a module uses many times become functions of it, so that its code stays small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.backends import scalars
from wengert.backends.irbuilder import Builder, Module, Type, Value
from wengert.compiler.loops import Expr, Op, Stmt
from wengert.compiler.rewrite import statements, values, walk
from wengert.core.costs import OPS

_LARGE = 10.0  # the cost from which an operation is worth a call
# Uses that are put in place: a call costs a few nanoseconds, and registers are saved around it.
_INLINED = 4
_MANY = 8  # from which none is


class Routines:
    """The elementary functions of one module."""

    __slots__ = ("attributes", "made", "module", "uses", "wanted")

    def __init__(self, module: Module, attributes: str, body: Sequence[Stmt]):
        self.module = module
        self.attributes = attributes
        self.uses: Counter[Any] = Counter()
        self.made: dict[Any, tuple[str, Type]] = {}  # the names of functions, and what they return
        seen: set[Expr] = set()
        for stmt in statements(body):
            seen.update(walk(*values(stmt)))
        large = [e for e in seen if isinstance(e, Op) and OPS[e.name] >= _LARGE]
        self.wanted = Counter((e.name, e.args[-1].dtype) for e in large)

    def apply(
        self, b: Builder, name: str, args: Sequence[Value], in_dtype: np.dtype[Any], out_dtype: np.dtype[Any]
    ) -> Value:
        """What `scalars.apply` does, by a call if the module has had this operation in place often enough."""
        if OPS[name] < _LARGE or args[0].const is not None:
            return scalars.apply(b, name, args, in_dtype, out_dtype)
        key = (name, in_dtype, args[0].type.lanes)
        self.uses[key] += 1
        if self.uses[key] <= _INLINED and self.wanted[key[:2]] < _MANY:
            return scalars.apply(b, name, args, in_dtype, out_dtype)
        if key not in self.made:
            symbol = f"{name}_{scalars.name_of(in_dtype)}_{args[0].type.lanes}"
            ret = scalars.llvm_type(out_dtype, args[0].type.lanes)
            self.made[key] = symbol, ret
            named = [(f"x{n}", a.type) for n, a in enumerate(args)]
            function = self.module.function(
                symbol, ret, named, attributes=f"{self.attributes} noinline memory(none)", linkage="internal"
            )
            inner = Builder(function)
            inner.ret(scalars.apply(inner, name, function.args, in_dtype, out_dtype))
        return b.call(*self.made[key], args)
