"""Compiled programs read and write only their own memory: programs in memory with guards (`check_memory`).

A read out of bounds ends the process there, so these programs run in a process of their own. Outside of CI, run
everything like that: WENGERT_CHECK_MEMORY=1 pytest
"""

from __future__ import annotations

import ctypes
import inspect
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from test_cases import TYPED

import wengert
from wengert import jit, lax
from wengert.compiler.loops import Buffer, Program
from wengert.config import check_memory
from wengert.core.array import from_numpy
from wengert.runtime import guard

F32 = np.dtype(np.float32)


def run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with all programs in memory with guards."""
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", *args],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "WENGERT_CHECK_MEMORY": "1", **environment},
        capture_output=True,
        text=True,
    )


def run_tests(*tests: str, **environment: str) -> None:
    """A fault in these tests fails, and shows where it was."""
    result = run("-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *tests, **environment)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]


def test_a_sample_of_all_primitives() -> None:
    run_tests(*(f"tests/test_cases.py::test_compiled[{param.id}]" for param in TYPED[::25]))


def test_random_programs() -> None:
    run_tests("tests/test_random_programs.py", HYPOTHESIS_PROFILE="quick")


# ---- programs that have read or written too much


def test_gathers_beyond_the_end_of_a_loop() -> None:
    """Rows by an index that is computed, in vector code whose last lanes stand for no row."""
    rng = np.random.default_rng(0)
    numbers = lax.GatherDimensionNumbers((), (0, 1), (0, 1))
    for rows in (3, 5, 13):
        x, at = rng.random((rows, 4), np.float32), rng.integers(0, 4, rows)
        which = np.stack([np.arange(rows), at], 1).astype(np.int32)

        @jit
        def scaled(x: wengert.Array, which: wengert.Array) -> wengert.Array:
            taken = lax.gather(x, which, numbers, (1, 1), mode="clip")
            return lax.div(x, lax.broadcast_in_dim(taken, x.shape, (0,)))

        with check_memory(True):
            found = scaled(x, which)
        np.testing.assert_allclose(found, x / x[np.arange(rows), at][:, None], rtol=1e-6)


# ---- the guards see what they should


def memory_of(at_end: bool) -> guard.GuardedMemory:
    """For a program with an argument, a result and two temporaries."""
    program = Program("f", [Buffer((5,), F32, "arg", "x0")], [Buffer((2, 3), F32, "result", "y0")], [], [])
    program.temps = [Buffer((7,), F32, "temp", "t0"), Buffer((1000,), F32, "temp", "t1")]
    guard.spread(program)
    return guard.GuardedMemory(program, [from_numpy(np.arange(5, dtype=F32))], at_end)


@pytest.mark.parametrize(
    ("at_end", "buffer", "offset", "message"),
    [
        (
            True,
            "x0",
            -1,
            "1 bytes outside .*, the nearest one 1 bytes before the start of the argument x0:float32",
        ),
        (True, "y0", -70, "70 bytes before the start of the result y0:float32[2,3]"),
        (False, "x0", 20, "0 bytes past the end of the argument x0:float32[5]"),
        (False, "y0", 24 + 63, "63 bytes past the end of the result y0:float32[2,3]"),
        (True, "t0", -1, "1 bytes before the start of the temporary t0:float32[7]"),
        (True, "t0", 28, "0 bytes past the end of the temporary t0:float32[7]"),
        (False, "t1", -64, "64 bytes before the start of the temporary t1:float32[1000]"),
        (False, "t1", 4000, "0 bytes past the end of the temporary t1:float32[1000]"),
        (True, "x0", 8, "changed its argument the argument x0:float32[5] at byte 8"),
    ],
)
def test_writes_out_of_bounds_are_named(at_end: bool, buffer: str, offset: int, message: str) -> None:
    memory = memory_of(at_end)
    starts = dict(zip(("x0", "y0", "arena"), memory.addresses(), strict=True))
    starts |= {t.name: starts["arena"] + t.offset for t in memory.program.temps}
    memory.check()
    ctypes.memset(starts[buffer] + offset, 1, 1)
    with pytest.raises(RuntimeError, match=message.replace("[", r"\[").replace("]", r"\]")):
        memory.check()


FAULT = """
import ctypes, numpy as np
from wengert.compiler.loops import Buffer, Program
from wengert.core.array import from_numpy
from wengert.runtime import guard
x = np.arange(5, dtype=np.float32)
program = Program("f", [Buffer(x.shape, x.dtype, "arg")], [], [], [])
memory = guard.GuardedMemory(program, [from_numpy(x)], {at_end})
start = memory.addresses()[0]
print(list(ctypes.string_at(start, 20)) == list(x.tobytes()), flush=True)
print(ctypes.string_at(start + {offset}, 1), flush=True)
"""


@pytest.mark.parametrize(("at_end", "offset"), [(True, 20), (False, -1)])
def test_reads_out_of_bounds_are_faults(at_end: bool, offset: int) -> None:
    result = run("-c", FAULT.format(at_end=at_end, offset=offset), PYTHONPATH=os.pathsep.join(sys.path))
    assert result.stdout == "True\n", result.stderr
    assert result.returncode in (-signal.SIGSEGV, -signal.SIGBUS)


def test_results_start_as_nan() -> None:
    memory = memory_of(True)
    found = np.zeros((2, 3), F32)
    memory.copy_results([found.ctypes.data])
    assert np.isnan(found).all()


def test_checked_programs_compute_the_same() -> None:
    def fun(x: wengert.Array) -> tuple[wengert.Array, ...]:
        total, rows = lax.scan(lambda c, row: (lax.add(c, row), lax.sin(c)), x[0], x)
        return total, rows, lax.sort(x), x

    x = np.random.default_rng(0).random((9, 7), np.float32)
    plain = jit(fun)(x)
    with check_memory(True):
        checked = [jit(fun)(x) for _ in range(2)]
    for outs in checked:
        for a, b in zip(outs, plain, strict=True):
            np.testing.assert_array_equal(a, b)


def test_one_number_that_is_narrowed_after_whole_vectors() -> None:
    def fun(x: wengert.Array) -> tuple[wengert.Array, wengert.Array]:
        small = lax.convert_element_type(x, np.int8)
        return small, lax.mul(small, small)

    program = "import numpy as np\nfrom wengert import enable_x64, jit, lax\n" + textwrap.dedent(
        inspect.getsource(fun).replace("wengert.Array", "object")
    )
    for n in (3, 5, 9, 17):
        program += f"\nwith enable_x64(True): print(jit(fun)(np.arange({n}))[1][-1])"
    result = run("-c", program, PYTHONPATH=os.pathsep.join(sys.path))
    assert result.stdout.split() == ["4", "16", "64", "0"], result.stderr


def test_one_number_that_is_narrowed_beside_a_reduction() -> None:
    program = """
import numpy as np
from wengert import jit, lax
f = jit(lambda x: (lax.reduce_min(lax.bitwise_not(x), [0]), lax.mulhi(x, x)))
for n in (3, 5, 9, 17):
    least, high = f(np.full(n, 2**31, np.uint32))
    print(least, *high)
"""
    result = run("-c", program, PYTHONPATH=os.pathsep.join(sys.path))
    wanted = [" ".join([str(2**31 - 1), *[str(2**30)] * n]) for n in (3, 5, 9, 17)]
    assert result.stdout.splitlines() == wanted, result.stderr
