"""Every exception that Wengert raises under a name of its own.

Each takes a plain message. The docstrings show a small program that fails and how to mend it.
"""

from __future__ import annotations


class JAXTypeError(TypeError):
    """A value of the wrong kind met a transformation: the base of the tracer errors.

    Catch it to handle all of them at once::

        try:
            jit(f)(x)
        except wengert.errors.JAXTypeError as exc:
            ...
    """


class JAXIndexError(IndexError):
    """An index that a traced program cannot use: the base of `NonConcreteBooleanIndexError`."""


class ConcretizationTypeError(JAXTypeError):
    """A traced value was used where Python needs a number that is known now.

    Fails, because the shape of the result depends on a value that is not known while `f` is traced::

        @jit
        def f(x, n):
            return jnp.zeros(n) + x

    Mend it by making `n` static, so that it reaches `f` as a Python int::

        @partial(jit, static_argnames="n")
        def f(x, n):
            return jnp.zeros(n) + x
    """


class TracerBoolConversionError(ConcretizationTypeError):
    """Python control flow (`if`, `while`, `and`, `assert`) asked for the truth of a traced value.

    Fails::

        @jit
        def relu(x):
            return x if x > 0 else 0.0

    Mend it by computing both and choosing (or by `lax.cond`, which runs only one of them)::

        @jit
        def relu(x):
            return jnp.where(x > 0, x, 0.0)
    """


class TracerIntegerConversionError(JAXTypeError):
    """A traced value was used as a Python integer: an index into a list, or an argument of `range`.

    Fails, because `table` is a Python list::

        table = [1.0, 2.0, 3.0]
        jit(lambda i: table[i])(1)

    Mend it by indexing an array::

        table = jnp.array([1.0, 2.0, 3.0])
        jit(lambda i: table[i])(1)
    """


class TracerArrayConversionError(JAXTypeError):
    """A NumPy function was called on a traced value, which holds no numbers yet.

    Fails::

        jit(lambda x: np.sin(x))(1.0)

    Mend it by calling the function of the same name in `wengert.numpy`::

        jit(lambda x: jnp.sin(x))(1.0)
    """


class UnexpectedTracerError(JAXTypeError):
    """A traced value left the function that was being traced, and was used after the trace had ended.

    Fails, because `seen` keeps a tracer::

        seen = []

        @jit
        def f(x):
            seen.append(x * 2)
            return x

        f(1.0)
        seen[0] + 1

    Mend it by returning the value::

        @jit
        def f(x):
            return x, x * 2
    """


class NonConcreteBooleanIndexError(JAXIndexError):
    """An array was indexed with a traced mask: the size of the result would depend on its values.

    Fails::

        jit(lambda x: x[x > 0].sum())(jnp.arange(3.0))

    Mend it by keeping the shape and choosing values instead::

        jit(lambda x: jnp.where(x > 0, x, 0).sum())(jnp.arange(3.0))
    """


class KeyReuseError(JAXTypeError):
    """With `debug_key_reuse` set: one random key was consumed twice, so two draws would be equal.

    Fails::

        key = random.key(0)
        a, b = random.normal(key), random.normal(key)

    Mend it by splitting the key::

        k1, k2 = random.split(random.key(0))
        a, b = random.normal(k1), random.normal(k2)
    """


class InconclusiveDimensionOperation(Exception):
    """A comparison of symbolic dimensions has no definite answer.

    Fails, because `n >= 2` is true for some sizes and false for others::

        (n,) = export.symbolic_shape("n")
        if n >= 2: ...

    Mend it by stating what is known of the sizes::

        (n,) = export.symbolic_shape("n", constraints=["n >= 2"])
    """


class JaxRuntimeError(RuntimeError):
    """A compiled program could not be run to its end, for example because memory ran out.

    Fails on a machine without 4 TB of memory::

        jit(lambda: jnp.ones((1_000_000, 1_000_000)))()

    Mend it by working on one part at a time (`lax.map` with `batch_size`), or with smaller arrays.
    """


class ReplicaError(JaxRuntimeError):
    """The replicas of a pmapped function do not all come to the same collective operation.

    Fails, because only some of them come to the sum, and would wait for ever::

        pmap(lambda x: lax.cond(x > 0, lambda x: lax.psum(x, "i"), lambda x: x, x), "i")(jnp.arange(4.0))

    Mend it by letting all take part, and choosing afterwards::

        pmap(lambda x: jnp.where(x > 0, lax.psum(x, "i"), x), "i")(jnp.arange(4.0))
    """


class JaxprTypeError(TypeError):
    """A jaxpr is not well typed: a variable is used before it is bound, or an equation's types do not fit.

    It points at an error in a transformation or in a hand-built jaxpr, not in the traced program::

        core.check_jaxpr(jaxpr)   # names the equation
    """


class CompileError(RuntimeError):
    """The compiler or the machine-code backend refused a program: an error in Wengert itself.

    The message names the pass and the user's line. `with wengert.disable_jit():` runs the program without
    the compiler in the meantime.
    """


class TypePromotionError(ValueError):
    """Two dtypes have no common one that values go to without being asked.

    Fails, because 8-bit floats mix with nothing but scalars::

        jnp.ones(3, jnp.float8_e4m3fn) + jnp.ones(3, jnp.float32)

    Mend it by converting one of the two::

        jnp.ones(3, jnp.float8_e4m3fn).astype(jnp.float32) + jnp.ones(3, jnp.float32)
    """
