"""Primitives that a library defines: their rules, one by one, under every transformation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import lax
from wengert.core.primitive import Primitive as CorePrimitive
from wengert.errors import UnexpectedTracerError
from wengert.extend import core
from wengert.extend.core import primitives
from wengert.interpreters import ad, batching, mlir, partial_eval

WEIGHTS = np.array([1.0, -2.0, 3.0], np.float32)


def weighted() -> core.Primitive:
    """x * WEIGHTS * c along the last axis: linear, and with a constant array in its lowering."""
    prim = core.Primitive("weighted")

    def impl(x: Any, *, c: float) -> Any:
        return x * jnp.asarray(WEIGHTS) * c

    prim.def_impl(impl)
    prim.def_abstract_eval(lambda x, *, c: x)
    ad.deflinear(prim, lambda ct, *, c: [prim.bind(ct, c=c)])

    def batch(args: Any, dims: Any, *, c: float) -> Any:
        return prim.bind(jnp.moveaxis(args[0], dims[0], 0), c=c), 0

    batching.primitive_batchers[prim] = batch
    mlir.register_lowering(prim, mlir.lower_fun(impl, multiple_results=False))
    return prim


def divmod_primitive() -> core.Primitive:
    """Two results: x // y and x % y of integers."""
    prim = core.Primitive("both")
    prim.multiple_results = True
    prim.def_impl(lambda x, y: [x // y, x % y])
    prim.def_abstract_eval(lambda x, y: [x, x])
    batching.defbroadcasting(prim)
    mlir.register_lowering(prim, mlir.lower_fun(lambda x, y: [x // y, x % y]))
    return prim


X = jnp.array([0.5, 1.0, 2.0])


@pytest.mark.parametrize("transform", [lambda f: f, wengert.jit], ids=["eager", "jitted"])
def test_values_and_derivatives(transform: Any) -> None:
    prim = weighted()
    np.testing.assert_allclose(transform(lambda x: prim.bind(x, c=3.0))(X), np.asarray(X) * WEIGHTS * 3)
    gradient = wengert.grad(lambda x: jnp.sum(jnp.sin(prim.bind(x, c=3.0))))
    expected = np.cos(np.asarray(X) * WEIGHTS * 3) * WEIGHTS * 3
    np.testing.assert_allclose(transform(gradient)(X), expected, rtol=1e-5)
    rows = jnp.stack([X, -X, 2 * X], axis=1)
    mapped = transform(wengert.vmap(lambda x: prim.bind(x, c=2.0), in_axes=1))(rows)
    np.testing.assert_allclose(mapped, np.asarray(rows).T * WEIGHTS * 2)


def test_in_loops() -> None:
    prim = weighted()
    step = lambda x, _: (prim.bind(x, c=0.5), x[0])  # noqa: E731
    last, first = wengert.jit(lambda x: lax.scan(step, x, None, length=3))(X)
    np.testing.assert_allclose(last, np.asarray(X) * (WEIGHTS * 0.5) ** 3)
    np.testing.assert_allclose(first, [0.5, 0.25, 0.125])


def test_it_stands_in_jaxprs_by_its_name() -> None:
    prim = weighted()
    jaxpr = wengert.make_jaxpr(lambda x: prim.bind(x, c=2.0))(X)
    assert [e.primitive for e in jaxpr.eqns] == [prim]
    assert "weighted[c=2.0]" in str(jaxpr)
    np.testing.assert_allclose(core.jaxpr_as_fun(jaxpr, X)[0], np.asarray(X) * WEIGHTS * 2)


def test_several_results() -> None:
    prim = divmod_primitive()
    x, y = jnp.arange(6) + 7, jnp.full(6, 4)
    for function in (prim.bind, wengert.jit(prim.bind)):
        quotient, rest = function(x, y)
        np.testing.assert_array_equal(quotient, np.arange(7, 13) // 4)
        np.testing.assert_array_equal(rest, np.arange(7, 13) % 4)
    mapped = wengert.vmap(prim.bind, in_axes=(0, None))(x, jnp.array(4))
    np.testing.assert_array_equal(mapped[1], np.arange(7, 13) % 4)


def test_a_batching_rule_with_the_axis_in_parts() -> None:
    prim = core.Primitive("shifted")
    prim.def_impl(lambda x: x)
    prim.def_abstract_eval(lambda x: x)

    def batch(size: int, name: Any, _: Any, args: Any, dims: Any) -> Any:
        return args[0] + size + len(name), dims[0]

    batching.axis_primitive_batchers[prim] = batch
    np.testing.assert_array_equal(wengert.vmap(prim.bind, axis_name="ab")(X), np.asarray(X) + 5)


def test_bilinear() -> None:
    prim = core.Primitive("outer")
    impl = lambda a, b: a[:, None] * b[None, :]  # noqa: E731
    prim.def_impl(impl)
    prim.def_abstract_eval(lambda a, b: a.update(shape=(a.shape[0], b.shape[0])))
    mlir.register_lowering(prim, mlir.lower_fun(impl, multiple_results=False))
    ad.defbilinear(prim, lambda ct, a, b: ct @ b, lambda ct, a, b: a @ ct)
    a, b = jnp.arange(3.0), jnp.array([1.0, -1.0])
    ours = wengert.grad(lambda a, b: jnp.sum(prim.bind(a, b) ** 2), argnums=(0, 1))
    plain = wengert.grad(lambda a, b: jnp.sum(impl(a, b) ** 2), argnums=(0, 1))
    for found, expected in zip(wengert.jit(ours)(a, b), plain(a, b), strict=True):
        np.testing.assert_allclose(found, expected)


def test_a_lowering_may_call_python() -> None:
    prim = core.Primitive("sorted")
    prim.def_abstract_eval(lambda x: x)

    def rule(ctx: mlir.LoweringRuleContext, x: Any) -> Any:
        outs, _, keepalive = mlir.emit_python_callback(
            ctx, lambda x: (np.sort(np.asarray(x)),), None, [x], ctx.avals_in, ctx.avals_out
        )
        ctx.module_context.add_keepalive(keepalive)
        return outs

    mlir.register_lowering(prim, rule)
    np.testing.assert_array_equal(wengert.jit(prim.bind)(-X), np.sort(-np.asarray(X)))


def test_rules_that_are_missing() -> None:
    prim = core.Primitive("bare")
    with pytest.raises(NotImplementedError, match="'bare'"):
        prim.bind(X)
    prim.def_impl(lambda x: x)
    prim.def_abstract_eval(lambda x: x)
    assert prim.bind(X) is X
    for transform, what in ((wengert.grad, "Differentiation rule"), (wengert.vmap, "Batching rule")):
        with pytest.raises(NotImplementedError, match=f"{what} for 'bare'"):
            transform(prim.bind)(X if transform is wengert.vmap else 1.0)
    with pytest.raises(NotImplementedError, match="register_lowering"):
        wengert.jit(prim.bind)(X)
    with pytest.raises(NotImplementedError, match="Transpose rule"):
        ad.get_primitive_transpose(prim)


def test_a_tracer_that_escaped() -> None:
    prim, kept = weighted(), []
    wengert.jit(kept.append)(X)
    with pytest.raises(UnexpectedTracerError, match="weighted"):
        prim.bind(kept[0], c=1.0)


def test_the_tables_show_the_rules_of_ours() -> None:
    assert primitives.sin_p is lax.sin_p
    assert lax.sin_p in ad.primitive_jvps
    assert lax.sin_p not in ad.primitive_transposes
    with pytest.raises(KeyError):
        ad.primitive_transposes[lax.sin_p]
    operands = (jnp.ones((3, 2)),), (1,)
    for out, dim in (
        batching.primitive_batchers[lax.sin_p](*operands),
        batching.axis_primitive_batchers[lax.sin_p](2, None, None, *operands),
    ):
        assert out.shape == (3, 2)
        assert dim == 1
    with pytest.raises(AttributeError):
        primitives.no_such_p  # noqa: B018


def test_programs_as_data() -> None:
    jaxpr = wengert.make_jaxpr(lambda x: (jnp.sin(x), wengert.jit(jnp.cos)(x)))(1.0).jaxpr
    assert len(list(core.subjaxprs(jaxpr))) == 1
    pruned, used = partial_eval.dce_jaxpr(jaxpr, [True, False])
    assert [e.primitive for e in pruned.eqns] == [lax.sin_p]
    assert used == [True]
    eqn = jaxpr.eqns[0]
    again = core.new_jaxpr_eqn(eqn.invars, eqn.outvars, eqn.primitive, eqn.params)
    core.check_jaxpr(jaxpr.replace(eqns=[again, *jaxpr.eqns[1:]]))


def test_types_of_elements_and_batches() -> None:
    aval = core.unmapped_aval(5, 1, X.aval)
    assert aval.shape == (3, 5)
    assert core.mapped_aval(5, 1, aval).shape == (3,)
    with pytest.raises(ValueError, match="size 5, not 4"):
        core.mapped_aval(4, 1, aval)
    assert core.primal_dtype_to_tangent_dtype(np.int32) == wengert.float0


def test_where_one_is() -> None:
    seen = {}

    def look(name: str) -> Any:
        def f(x: Any) -> Any:
            seen[name] = (
                core.unsafe_am_i_under_a_jit_DO_NOT_USE(),
                core.unsafe_am_i_under_a_vmap_DO_NOT_USE(),
            )
            return x

        return f

    look("plain")(X)
    wengert.jit(look("jit"))(X)
    wengert.vmap(look("vmap"))(X)
    wengert.jit(wengert.vmap(look("both")))(X)
    assert seen == {
        "plain": (False, False),
        "jit": (True, False),
        "vmap": (False, True),
        "both": (True, True),
    }


def test_every_primitive_has_a_name_and_rules() -> None:
    for name in (
        "dot_general_p",
        "scan_p",
        "cond_p",
        "while_p",
        "jit_p",
        "custom_jvp_call_p",
        "threefry2x32_p",
    ):
        assert isinstance(getattr(primitives, name), CorePrimitive)
