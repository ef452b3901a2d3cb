"""The primitive: one record that holds all that is known of an operation.

Transformations and the compiler read rules from this record and from nowhere else. The constructors fill the
defaults of each kind, so that most primitives are one statement; see `prims/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from wengert.core import trace as _trace
from wengert.core.avals import ShapedArray

# How an equation reads an operand, for the planner of the compiler:
#   same      at the index of the result (elementwise)
#   view      each element for one element of the result at most (slice, transpose, pad, reductions)
#   repeated  each element for several elements of the result (broadcast)
#   looped    in every iteration of a sequential loop (the constants of a scan)
#   stored    anywhere: the operand has to be in memory
Access: TypeAlias = Literal["same", "view", "repeated", "looped", "stored"]
Kind: TypeAlias = Literal[
    "elementwise",
    "view",
    "reduction",
    "contraction",
    "indexing",
    "library",
    "control",
    "call",
    "collective",
    "other",
]
Rule: TypeAlias = Callable[..., Any]


class Primitive:
    """An operation.

    Fields (all keyword arguments of the constructor; a rule gets the equation's parameters as keywords):

    abstract_eval(*avals, **params)
        the aval of the result (a list of avals if `multiple_results`); raises TypeError or ValueError, worded
        for the user, if the operands don't fit.
    impl(xp, *values, **params)
        the reference: computes the result with the array module `xp` (NumPy). Defines the semantics.
    jvp(primals, tangents, **params) -> (out, tangent)
        forward derivative. Tangents may be `Zero`; so may the result. Written with bound primitives.
        With `multiple_results`, both are lists.
    transpose(cts, *args, **params) -> list
        args that are `UndefinedPrimal` are linear; returns a cotangent (or None) for each arg. `cts` is one
        cotangent, or a list if `multiple_results`; members may be `Zero`.
    linearize(nonzeros, *primals, **params) -> (outs, out_nonzeros, residuals, tangent_jaxpr) or None
        only for primitives that hold jaxprs; others are linearized through their jvp.
    batch(axis, args, dims, **params) -> (outs, out_dims)
        `axis` has `.size` and `.name`; `dims` says where each arg has the batch axis, or None.
    pull(ctx, index, *operands, **params) -> Expr
        how the compiler computes the value at `index` (a tuple of coordinates, one per axis of the result) from
        operands, each with `.aval` and `.at(index) -> Expr`. With several results `ctx.output` is the number
        of the wanted one.
    emit(ctx, outs, *operands, **params)
        how the compiler computes what has no value-at-index form: appends statements to `ctx` that store the
        results into the buffers `outs`. A primitive with neither runs its `impl` by a host call.
    over
        the number of the operand whose memory the result may take. Then `emit` gets the result's place in
        `outs`, which may be that operand's, and writes only what changes if it is.
    access
        for each operand how it is read (one word for all, a sequence, or a function of the params and the
        number of operands).
    scalar
        for elementwise primitives, in place of `pull`, the scalar operation of the loop IR that they are.
    pulled
        computed: whether there is one of the two.
    reducer(dtype) -> (combine, identity)
        for reductions over `axes` (a parameter): the combining operation of the loop IR and the value to start
        from, for operands of this dtype.
    cost
        of a `pull` without `scalar`: about how many vector additions one element costs.
    real_code
        `pull` is for real numbers only; for complex ones `impl` is called.
    expand(*avals, **params) -> ClosedJaxpr
        the program that the operation stands for. The compiler puts it in the equation's place, and uses none of
        the rules above.
    compiled
        an eager call compiles the operation instead of running `impl` (control flow).
    effects(**params) -> frozenset of effect names
    dce(used_outs, eqn) -> (used_ins, eqn or None): prunes unused results of primitives that hold jaxprs.
    keys
        what becomes of the random keys among the operands: "move" (results hold the same keys), "make" (other
        ones), "consume" (other ones, and the operands' are used up: to draw from them again would give equal
        numbers).
    hidden_params: parameters that are not printed.
    """

    __slots__ = (
        "_accesses",
        "abstract_eval",
        "batch",
        "compiled",
        "cost",
        "dce",
        "effects",
        "emit",
        "expand",
        "hidden_params",
        "impl",
        "jvp",
        "keys",
        "kind",
        "linearize",
        "multiple_results",
        "name",
        "over",
        "pull",
        "pulled",
        "real_code",
        "reducer",
        "scalar",
        "transpose",
    )

    def __init__(
        self,
        name: str,
        kind: Kind,
        *,
        abstract_eval: Rule,
        impl: Rule,
        jvp: Rule | None = None,
        transpose: Rule | None = None,
        linearize: Rule | None = None,
        batch: Rule | None = None,
        pull: Rule | None = None,
        emit: Rule | None = None,
        over: int | None = None,
        expand: Rule | None = None,
        access: Access | Sequence[Access] | Callable[..., Sequence[Access]] | None = None,
        scalar: str | None = None,
        reducer: Callable[[Any], tuple[str, Any]] | None = None,
        cost: float = 1.0,
        real_code: bool = False,
        multiple_results: bool = False,
        compiled: bool = False,
        effects: Callable[..., frozenset[str]] | None = None,
        dce: Rule | None = None,
        keys: Literal["move", "make", "consume"] = "move",
        hidden_params: Sequence[str] = (),
    ):
        self.name = name
        self.kind = kind
        self.abstract_eval = abstract_eval
        self.impl = impl
        self.jvp = jvp
        self.transpose = transpose
        self.linearize = linearize
        self.batch = batch
        self.pull = pull
        self.pulled = pull is not None or scalar is not None
        self.emit = emit
        self.over = over
        self.expand = expand
        self.scalar = scalar
        self.reducer = reducer
        self.cost = cost
        self.real_code = real_code
        self.multiple_results = multiple_results
        self.compiled = compiled
        self.effects = effects
        self.dce = dce
        self.keys = keys
        self.hidden_params = frozenset(hidden_params)
        self._accesses = access or ("same" if kind == "elementwise" else "view" if pull else "stored")

    def accesses(self, n: int, params: dict[str, Any]) -> Sequence[Access]:
        """How each of the `n` operands is read."""
        access = self._accesses
        if isinstance(access, str):
            return [access] * n
        if callable(access):
            return access(n, **params)
        return access

    def bind(self, *args: Any, **params: Any) -> Any:
        """Apply the primitive under the current trace."""
        return _trace.current_trace().process(self, args, params)

    def get_bind_params(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters that `bind` takes, from those of an equation: the same here."""
        return params

    def __repr__(self) -> str:
        return self.name


def same_shape_aval(name: str, avals: Sequence[ShapedArray]) -> tuple[tuple[int, ...], bool]:
    """The common shape of elementwise operands, of which some may be scalars, and whether all are weak."""
    shape: tuple[int, ...] = ()
    weak = True
    for aval in avals:
        weak = weak and aval.weak_type
        if aval.shape != shape and aval.shape:
            if shape:
                raise TypeError(
                    f"{name} got arrays of incompatible shapes: "
                    + ", ".join(str(a.shape) for a in avals)
                    + "; the shapes must be equal (scalars excepted). Broadcast first, "
                    "e.g. with numpy functions or lax.broadcast_in_dim."
                )
            shape = aval.shape
    return shape, weak
