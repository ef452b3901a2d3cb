"""Tables of rules that are views of a field of the primitives' records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wengert.core.primitive import Primitive


class RuleTable:
    """Like a dict from primitives to rules."""

    __slots__ = ("_field", "_given", "_taken")

    def __init__(
        self,
        field: str,
        given: Callable[[Any], Any] = lambda rule: rule,
        taken: Callable[[Any], Any] = lambda rule: rule,
    ):
        """`given` makes of a rule in JAX's form one in the record's, `taken` the other way around."""
        self._field = field
        self._given = given
        self._taken = taken

    def __setitem__(self, primitive: Primitive, rule: Any) -> None:
        setattr(primitive, self._field, self._given(rule))

    def __getitem__(self, primitive: Primitive) -> Any:
        rule = self.get(primitive)
        if rule is None:
            raise KeyError(primitive)
        return rule

    def __contains__(self, primitive: Primitive) -> bool:
        return getattr(primitive, self._field) is not None

    def get(self, primitive: Primitive, default: Any = None) -> Any:
        """The primitive's rule, or the default if it has none."""
        rule = getattr(primitive, self._field)
        return default if rule is None else self._taken(rule)
