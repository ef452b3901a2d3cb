"""The runtime: compiled code is loaded, called, run in parallel, interrupted, and given memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest

from wengert.backends import cpu, image, toolchain
from wengert.errors import CompileError
from wengert.runtime import buffers, interrupt, native, threads

# @program(out, n, grain): out += the sum of [0, n), by a parallel loop. @nested: by a loop of loops.
# @failing: a host call, then a store to out if it succeeded. @spinning(n): n turns of a sequential loop that
# can be interrupted.
PROGRAMS = """
declare void @wengert_parallel(ptr, ptr, i64, i64)
declare i32 @wengert_host_call(i64, ptr)
declare i32 @wengert_interrupt_check()
@wengert_interrupted = external global i32

define internal void @sum(ptr %out, i64 %lo, i64 %hi) {
entry:
  br label %loop
loop:
  %i = phi i64 [ %lo, %entry ], [ %next, %loop ]
  %s = phi i64 [ 0, %entry ], [ %s1, %loop ]
  %s1 = add i64 %s, %i
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %hi
  br i1 %more, label %loop, label %done
done:
  %old = atomicrmw add ptr %out, i64 %s1 monotonic
  ret void
}

define internal i64 @number(ptr %args, i64 %i) {
  %at = getelementptr i64, ptr %args, i64 %i
  %value = load i64, ptr %at
  ret i64 %value
}

define i32 @program(ptr %args) {
  %out = load ptr, ptr %args
  %n = call i64 @number(ptr %args, i64 1)
  %grain = call i64 @number(ptr %args, i64 2)
  call void @wengert_parallel(ptr @sum, ptr %out, i64 %n, i64 %grain)
  ret i32 0
}

define internal void @inner(ptr %out, i64 %lo, i64 %hi) {
entry:
  br label %loop
loop:
  %i = phi i64 [ %lo, %entry ], [ %next, %loop ]
  call void @wengert_parallel(ptr @sum, ptr %out, i64 100, i64 10)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %hi
  br i1 %more, label %loop, label %done
done:
  ret void
}

define i32 @nested(ptr %args) {
  %out = load ptr, ptr %args
  %n = call i64 @number(ptr %args, i64 1)
  call void @wengert_parallel(ptr @inner, ptr %out, i64 %n, i64 1)
  ret i32 0
}

; Count each index of [0, n), and fail the count of those outside a piece that starts at a multiple of the
; grain.
define internal void @mark(ptr %ctx, i64 %lo, i64 %hi) {
entry:
  %marks = load ptr, ptr %ctx
  %grain = call i64 @number(ptr %ctx, i64 1)
  %over = urem i64 %lo, %grain
  %aligned = icmp eq i64 %over, 0
  %word = select i1 %aligned, i32 1, i32 100
  br label %loop
loop:
  %i = phi i64 [ %lo, %entry ], [ %next, %loop ]
  %at = getelementptr i32, ptr %marks, i64 %i
  %old = atomicrmw add ptr %at, i32 %word monotonic
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %hi
  br i1 %more, label %loop, label %done
done:
  ret void
}

define i32 @marking(ptr %args) {
  %grain.at = getelementptr i64, ptr %args, i64 1
  %grain = load i64, ptr %grain.at
  %n = call i64 @number(ptr %args, i64 2)
  call void @wengert_parallel(ptr @mark, ptr %args, i64 %n, i64 %grain)
  ret i32 0
}

define i32 @failing(ptr %args) {
entry:
  %out = load ptr, ptr %args
  %id = call i64 @number(ptr %args, i64 1)
  %status = call i32 @wengert_host_call(i64 %id, ptr %args)
  %good = icmp eq i32 %status, 0
  br i1 %good, label %store, label %done
store:
  store i64 1, ptr %out
  br label %done
done:
  ret i32 %status
}

define i32 @spinning(ptr %args) {
entry:
  %n = call i64 @number(ptr %args, i64 0)
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %more ]
  %flag = load atomic i32, ptr @wengert_interrupted monotonic, align 4
  %due = icmp ne i32 %flag, 0
  br i1 %due, label %check, label %more
check:
  %status = call i32 @wengert_interrupt_check()
  %stop = icmp ne i32 %status, 0
  br i1 %stop, label %stopped, label %more
more:
  %next = add i64 %i, 1
  %again = icmp slt i64 %next, %n
  br i1 %again, label %loop, label %done
done:
  ret i32 0
stopped:
  ret i32 %status
}

define i32 @status(ptr %args) {
  ret i32 7
}
"""


class Programs:
    def __init__(self) -> None:
        self.code = cpu.load(PROGRAMS)
        self.parallel_sum = native.make_entry(self.code.address("program"), 3, True)
        self.nested = native.make_entry(self.code.address("nested"), 2, True)
        self.marking = native.make_entry(self.code.address("marking"), 3, True)
        self.failing = native.make_entry(self.code.address("failing"), 2, True)
        self.spinning = native.make_entry(self.code.address("spinning"), 1, True)
        self.status = native.make_entry(self.code.address("status"), 0, False)

    def sum(self, n: int, grain: int = 1) -> int:
        out = ctypes.c_int64(0)
        assert self.parallel_sum(ctypes.addressof(out), n, grain) is None
        return out.value


@pytest.fixture(scope="module")
def programs() -> Programs:
    return Programs()


@contextlib.contextmanager
def team_of(n: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(threads, "cpu_limit", lambda: max(n, 1))
    threads.set_num_threads(n)
    try:
        yield
    finally:
        monkeypatch.undo()
        threads.set_num_threads(None)


def run_script(body: str, timeout: float = 60.0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code, with the programs above as `p`, in a process of its own."""
    setting = "import sys; sys.path.insert(0, {!r}); from test_runtime import *; p = Programs()\n"
    script = setting.format(os.path.dirname(os.path.abspath(__file__))) + textwrap.dedent(body)
    command = [sys.executable, "-c", script]
    env = os.environ | environment
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout, check=False)


# ---- loading


def test_the_target_is_this_machine() -> None:
    target = cpu.target()
    assert target is cpu.target()
    assert target.vector_bits in (128, 256, 512)
    assert target.cpu in target.key
    assert target.features in target.key


@pytest.mark.parametrize("quick", [False, True])
def test_code_runs_and_shows_itself(quick: bool) -> None:
    code = cpu.load("define i32 @answer(i32 %x) {\n  %y = add i32 %x, 40\n  ret i32 %y\n}", quick=quick)
    answer = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int32)(code.address("answer"))
    assert answer(2) == 42
    assert "add i32" in code.optimised_ir()
    assert "answer:" in code.assembly()
    with pytest.raises(KeyError):
        code.address("question")


def test_saved_code_is_loaded_again() -> None:
    source = "declare double @cos(double)\n@k = global i32 5\ndefine double @f(double %x) {"
    source += "\n  %y = call double @cos(double %x)\n  ret double %y\n}"
    saved = cpu.load(source).object_bytes
    gc.collect()
    code = cpu.load_object(saved)
    f = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(code.address("f"))
    assert f(0.5) == pytest.approx(np.cos(0.5))
    assert ctypes.c_int32.from_address(code.address("k")).value == 5
    assert code.object_bytes == saved
    with pytest.raises(ValueError, match="IR was not kept"):
        code.assembly()


def test_damaged_code_is_refused() -> None:
    saved = cpu.load("define i32 @program(ptr %a) {\n  ret i32 0\n}").object_bytes
    for damaged in (b"", b"abc", b"x" * 99, saved[:30], saved[: len(saved) // 2]):
        with pytest.raises(CompileError):
            cpu.load_object(damaged)


def test_bad_ir_is_shown() -> None:
    with pytest.raises(CompileError, match=r"add i32 %y, 1"):
        cpu.load("define i32 @program(ptr %a) {\n  %x = add i32 %y, 1\n  ret i32 0\n}")
    with pytest.raises(CompileError, match=r"PHI node entries do not match predecessors!\n  %p = phi"):
        cpu.load("define i32 @f() {\n  br label %b\nb:\n  %p = phi i32 [ 0, %b ]\n  ret i32 0\n}")


def test_functions_that_are_nowhere_are_named() -> None:
    declared = "declare void @no_such_function()\ndeclare void @nor_this()\n"
    body = "define void @f() {\n  call void @no_such_function()\n  call void @nor_this()\n  ret void\n}"
    with pytest.raises(CompileError, match="no_such_function, nor_this"):
        cpu.load(declared + body)


def test_blas_and_lapack_are_found() -> None:
    assert cpu.blas_symbol("sgemm") == cpu.blas_symbol("sgemm")
    with pytest.raises(KeyError, match="sgemmm"):
        cpu.blas_symbol("sgemmm")
    code = cpu.load(
        "declare double @dnrm2(ptr, ptr, ptr)\n"
        "define double @norm(ptr %n, ptr %x, ptr %step) {\n"
        "  %y = call double @dnrm2(ptr %n, ptr %x, ptr %step)\n  ret double %y\n}"
    )
    pointer = ctypes.c_void_p
    norm = ctypes.CFUNCTYPE(ctypes.c_double, pointer, pointer, pointer)(code.address("norm"))
    n, x, step = ctypes.c_int32(2), (ctypes.c_double * 2)(3.0, 4.0), ctypes.c_int32(1)
    assert norm(*map(ctypes.addressof, (n, x, step))) == pytest.approx(5.0)


def test_loading_blas_leaves_scipy_whole() -> None:
    body = """
        cpu.blas_symbol("sgemm"), cpu.blas_symbol("dgetrf")
        assert "scipy.linalg" not in sys.modules
        import scipy.linalg
        import scipy.linalg.cython_blas, scipy.linalg.cython_lapack
        assert "sgemm" in scipy.linalg.cython_blas.__pyx_capi__
        assert "dgetrf" in scipy.linalg.cython_lapack.__pyx_capi__
        assert np.allclose(scipy.linalg.inv(2 * np.eye(3)), np.eye(3) / 2)
    """
    result = run_script(body)
    assert result.returncode == 0, result.stderr


def test_blas_obeys_the_number_of_threads() -> None:
    body = """
        import glob, scipy
        found = glob.glob(os.path.dirname(scipy.__file__) + "/../scipy.libs/libscipy_openblas-*")
        if not found:
            print("1 2 1")  # another BLAS, which is left alone
            sys.exit()
        cpu.blas_symbol("sgemm")
        count = ctypes.CDLL(found[0]).scipy_openblas_get_num_threads
        numbers = [count()]
        for n in (2, 1):
            threads.cpu_limit = lambda: 2
            threads.set_num_threads(n)
            numbers.append(count())
        print(*numbers)
    """
    result = run_script(body, WENGERT_NUM_THREADS="1")
    assert result.stdout == "1 2 1\n", result.stderr


def test_many_threads_load_at_once() -> None:
    results: list[int] = []

    def work(k: int) -> None:
        for i in range(5):
            code = cpu.load(f"define i32 @program() {{\n  ret i32 {100 * k + i}\n}}")
            results.append(ctypes.CFUNCTYPE(ctypes.c_int32)(code.address())())

    run_together([lambda k=k: work(k) for k in range(6)])
    assert sorted(results) == sorted(100 * k + i for k in range(6) for i in range(5))


def run_together(jobs: list[object]) -> None:
    """Run functions in threads of their own; raise what any of them raised."""
    errors: list[BaseException] = []

    def guarded(job: object) -> None:
        try:
            job()  # type: ignore[operator]
        except BaseException as error:
            errors.append(error)

    team = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


# ---- calls


@pytest.mark.parametrize("release_gil", [False, True])
def test_wrong_arguments_are_refused(programs: Programs, release_gil: bool) -> None:
    entry = native.make_entry(programs.code.address("program"), 3, release_gil)
    for arguments in ((), (1, 2), (1, 2, 3, 4), (1, 2, "3"), (1, 2, None), (1.0, 2, 3)):
        with pytest.raises(TypeError):
            entry(*arguments)
    with pytest.raises(OverflowError):
        entry(1, 2, 1 << 70)
    with pytest.raises(TypeError, match="no keyword arguments"):
        entry(1, 2, grain=3)


def test_status_is_returned(programs: Programs) -> None:
    assert programs.status() == 7
    with pytest.raises(TypeError, match="takes 0 addresses, 1 were given"):
        programs.status(1)
    with pytest.raises(ValueError, match="up to 65536"):
        native.make_entry(programs.code.address("status"), -1, False)


def test_many_arguments() -> None:
    source = "define i32 @program(ptr %args) {\n  %p = getelementptr i64, ptr %args, i64 4999\n"
    source += "  %v = load i64, ptr %p\n  %w = trunc i64 %v to i32\n  ret i32 %w\n}"
    code = cpu.load(source)
    assert native.make_entry(code.address(), 5000, False)(*range(5000)) == 4999


def test_the_gil_is_released(programs: Programs) -> None:
    ticks = 0
    stop = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not stop.wait(0.001):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    before = ticks
    programs.spinning(300_000_000)
    counted = ticks - before
    stop.set()
    thread.join()
    assert counted > 5


def test_host_call_reads_and_writes(programs: Programs) -> None:
    seen: list[tuple[int, ...]] = []

    def host(*addresses: int) -> None:
        seen.append(addresses)

    number = native.register_host_call(host, 2)
    out = ctypes.c_int64(0)
    assert programs.failing(ctypes.addressof(out), number) is None
    assert out.value == 1
    assert seen == [(ctypes.addressof(out), number)]
    native.raise_pending()
    native.release_host_call(number)
    assert programs.failing(ctypes.addressof(out), number) == native.HOST_ERROR
    with pytest.raises(KeyError):
        native.raise_pending()


def test_host_call_exceptions_stay_in_their_threads(programs: Programs) -> None:
    def host(address: int) -> None:
        raise ValueError(threading.get_ident())

    number = native.register_host_call(host, 1)

    def work() -> None:
        out = ctypes.c_int64(0)
        for _ in range(50):
            assert programs.failing(ctypes.addressof(out), number) == native.HOST_ERROR
            with pytest.raises(ValueError, match=f"^{threading.get_ident()}$"):
                native.raise_pending()
            native.raise_pending()  # nothing is left
        assert out.value == 0

    run_together([work] * 4)


# ---- parallel loops


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_parallel_sums(programs: Programs, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    with team_of(size, monkeypatch):
        for n in (0, 1, 2, 3, 7, 64, 1000, 12345):
            for grain in (-1, 0, 1, 2, 7, 100, 5000, 20000):
                assert programs.sum(n, grain) == n * (n - 1) // 2, (n, grain)
        assert threads.num_threads() == size


@pytest.mark.parametrize("size", [2, 5])
def test_pieces_cover_the_range_once_and_start_at_the_grain(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    with team_of(size, monkeypatch):
        for n in (1, 10, 63, 64, 65, 1000):
            for grain in (1, 3, 16):
                marks = np.zeros(n, np.int32)
                for _ in range(20):
                    assert programs.marking(marks.ctypes.data, grain, n) is None
                assert marks.tolist() == [20] * n, (n, grain)


def test_loops_inside_loops(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    with team_of(3, monkeypatch):
        out = ctypes.c_int64(0)
        programs.nested(ctypes.addressof(out), 200)
        assert out.value == 200 * 4950


def test_python_threads_share_the_team(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        for n in range(1, 400):
            assert programs.sum(n * 5) == n * 5 * (n * 5 - 1) // 2

    with team_of(3, monkeypatch):
        run_together([work] * 6)


def test_more_threads_than_cpus(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    with team_of(16, monkeypatch):
        for n in (100, 1000, 10_000):
            assert programs.sum(n) == n * (n - 1) // 2
            time.sleep(0.005)  # long enough for the workers to fall asleep
        for _ in range(200):
            assert programs.sum(1000, 10) == 499500


def test_team_changes_size_while_loops_run(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            assert programs.sum(1000) == 499500

    def change() -> None:
        try:
            for k in range(12):
                threads.set_num_threads(1 + k % 4)
        finally:
            stop.set()

    with team_of(4, monkeypatch):
        run_together([work, work, change])


def test_number_of_threads_is_checked() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        threads.set_num_threads(0)
    threads.set_num_threads(10_000)
    assert threads.num_threads() == threads.cpu_limit()
    threads.set_num_threads(None)


def test_environment_says_how_many_threads() -> None:
    result = run_script("assert p.sum(1000) == 499500; print(threads.num_threads())", WENGERT_NUM_THREADS="1")
    assert result.stdout == "1\n", result.stderr


FORK = """
    import warnings
    warnings.simplefilter("ignore")  # of Python 3.12 on, about fork and threads
    threads.cpu_limit = lambda: 3
    assert p.sum(1000) == 499500 and threads.num_threads() == 3
    child = os.fork()
    if child == 0:
        ok = p.sum(10_000) == 49995000 and len(threads._team.workers) == 2
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0 if p.sum(100) == 4950 else 1)
        os._exit(0 if ok and os.waitpid(grandchild, 0)[1] == 0 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert p.sum(1000) == 499500
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork() -> None:
    result = run_script(FORK)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "sys.exit(3)",
        "import atexit; atexit.register(lambda: p.sum(1000)); sys.exit(3)",
        "threading.Thread(target=lambda: [p.sum(9**6) for _ in range(9**9)], daemon=1).start(); sys.exit(3)",
        "sys.modules['keep'] = [buffers.allocate(100) for _ in range(3)]; sys.exit(3)",
        "class C:\n    def __del__(self): p.sum(1000)\nc = C(); c.self = c; sys.exit(3)",
    ],
)
def test_exit_is_clean_and_quick(ending: str) -> None:
    result = run_script(f"threads.cpu_limit = lambda: 3\nassert p.sum(1000) == 499500\n{ending}")
    assert (result.returncode, result.stderr) == (3 if "exit(3)" in ending else 0, "")


# ---- Ctrl-C

INTERRUPT = """
    import signal
    # a shell that starts tests in the background makes them ignore the signal
    signal.signal(signal.SIGINT, signal.default_int_handler)
    def press():
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=press).start()
    start = time.monotonic()
    try:
        p.spinning(10**13)
    except KeyboardInterrupt:
        print("interrupted", time.monotonic() - start < 10, p.spinning(10), p.sum(1000))
"""


def test_ctrl_c_ends_a_long_program() -> None:
    result = run_script(INTERRUPT)
    assert result.stdout == "interrupted True None 499500\n", result.stderr


def test_a_handler_that_returns_lets_the_program_go_on() -> None:
    body = """
        import signal
        seen = []
        signal.signal(signal.SIGALRM, lambda *_: seen.append(time.monotonic()))
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        print(p.spinning(1_000_000_000))
        end = time.monotonic()
        print(len(seen), end - seen[0] > 0.05)
    """
    result = run_script(body)
    assert result.stdout == "None\n1 True\n", result.stderr


def test_other_threads_are_not_interrupted(programs: Programs) -> None:
    def work() -> None:
        flag = ctypes.c_int32.from_address(interrupt._loaded().address("wengert_interrupted"))
        flag.value = 1
        assert programs.spinning(1000) is None

    run_together([work])


# ---- memory


@pytest.mark.parametrize("nbytes", [0, 1, 64, 65, 512, 513, 1000, 4097, 1 << 20, (1 << 20) + 1, 5_000_000])
def test_buffers_are_aligned_and_large_enough(nbytes: int) -> None:
    buffer = buffers.allocate(nbytes)
    assert buffer.address % 64 == 0
    assert max(nbytes, 1) <= buffer.nbytes <= max(64, nbytes * 1.25 + 63)
    if nbytes >= 4 << 20:
        assert buffer.address % (2 << 20) == 0
    ctypes.memset(buffer.address, 0xAB, buffer.nbytes)
    assert buffer.view((buffer.nbytes,), np.uint8).min() == 0xAB


def test_sizes_of_bins_agree_with_the_native_rule() -> None:
    for index in range(1, 80):
        size = buffers.bin_size(index)
        assert buffers.allocate(size).nbytes == size
        assert buffers.allocate(size + 1).nbytes == buffers.bin_size(index + 1)
    buffers.clear_pool()


@pytest.mark.parametrize("dtype", [np.float32, np.complex128, bool, ml_dtypes.bfloat16, ml_dtypes.int4])
def test_views_show_the_memory(dtype: type) -> None:
    buffer = buffers.allocate(4096)
    view = buffer.view((3, 4), dtype, offset=64)
    assert view.dtype == np.dtype(dtype)
    assert view.shape == (3, 4)
    assert view.flags.c_contiguous
    assert not view.flags.writeable
    assert view.ctypes.data == buffer.address + 64
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True
    assert buffer.view((), dtype).shape == ()
    assert buffer.view((0, 5), dtype).size == 0
    with pytest.raises(TypeError, match="too small"):
        buffer.view((buffer.nbytes + 1,), np.int8)


def test_memory_comes_back_when_the_last_reference_dies() -> None:
    buffer = buffers.allocate(777_777)
    address = buffer.address
    in_use = buffers.pool_statistics()["buffers_in_use"]
    part = buffer.view((10, 10), np.float32)[2:, ::2].T
    del buffer
    assert buffers.pool_statistics()["buffers_in_use"] == in_use
    assert buffers.allocate(777_777).address != address
    del part
    assert buffers.pool_statistics()["buffers_in_use"] == in_use - 1
    assert buffers.allocate(777_777).address == address


def test_bad_sizes_are_refused() -> None:
    cases: tuple[tuple[object, type[Exception]], ...] = (
        (-1, ValueError),
        ("1", TypeError),
        (1.5, TypeError),
        (1 << 60, MemoryError),
        (1 << 90, OverflowError),
    )
    for bad, error in cases:
        with pytest.raises(error):
            buffers.allocate(bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot create"):
        type(buffers.allocate(1))()
    with pytest.raises(MemoryError, match="no 60000000000000 bytes"):
        buffers.allocate(60_000_000_000_000)


def test_the_pool_is_bounded() -> None:
    limit = buffers.pool_statistics()["bytes_limit"]
    assert limit >= 256 << 20
    try:
        buffers.clear_pool()
        assert buffers.pool_statistics()["bytes_idle"] == 0
        buffers.set_pool_limit(40 << 20)
        held = [buffers.allocate(n << 20) for n in (2, 4, 8, 8, 16, 16, 16)]
        del held
        assert 0 < buffers.pool_statistics()["bytes_idle"] <= 40 << 20
        small = [buffers.allocate(1000) for _ in range(10_000)]
        del small
        assert buffers.pool_statistics()["bytes_idle"] <= (40 << 20) + (2 << 20)
        big = buffers.allocate(100 << 20)
        del big  # more than the limit: not kept
        assert buffers.pool_statistics()["bytes_idle"] <= (40 << 20) + (2 << 20)
        buffers.set_pool_limit(0)
        assert buffers.pool_statistics()["bytes_idle"] <= 2 << 20
        with pytest.raises(ValueError, match="0 or more bytes, got -1"):
            buffers.set_pool_limit(-1)
    finally:
        buffers.set_pool_limit(limit)


def test_many_threads_allocate() -> None:
    in_use = buffers.pool_statistics()["buffers_in_use"]

    def work(seed: int) -> None:
        held: list[tuple[buffers.Buffer, int]] = []
        for n in np.random.default_rng(seed).integers(1, 5000, 2000).tolist():
            buffer = buffers.allocate(n)
            ctypes.c_int64.from_address(buffer.address).value = n
            held.append((buffer, n))
            if len(held) > 20:
                old, tag = held.pop(n % 20)
                assert ctypes.c_int64.from_address(old.address).value == tag

    run_together([lambda k=k: work(k) for k in range(6)])
    assert buffers.pool_statistics()["buffers_in_use"] == in_use


# ---- loading beside the program


def test_a_fork_in_the_midst_of_loading_leaves_both_sides_working() -> None:
    body = """
        import wengert, wengert.numpy as jnp
        f = wengert.jit(lambda x: jnp.sin(x) + 1)  # LLVM is being loaded from now on
        child = os.fork()
        value = f(jnp.zeros(3)).tolist()
        if child == 0:
            os._exit(0 if value == [1.0, 1.0, 1.0] else 1)
        print(value, os.waitpid(child, 0)[1])
    """
    result = run_script(body)
    assert result.stdout == "[1.0, 1.0, 1.0] 0\n", result.stderr


def test_a_process_may_end_in_the_midst_of_loading() -> None:
    result = run_script("import wengert\nwengert.jit(lambda x: x)\nprint('end')")
    assert (result.returncode, result.stdout) == (0, "end\n"), result.stderr


def test_first_calls_in_several_threads_at_once() -> None:
    body = """
        import threading, wengert, wengert.numpy as jnp
        found = {}
        barrier = threading.Barrier(4)
        def run(n):
            f = wengert.jit(lambda x: jnp.sum(jnp.cos(x) * (n // 2)))  # the same program in two threads each
            barrier.wait()
            found[n] = [float(f(jnp.zeros(1000))) for _ in range(5)]
        threads_ = [threading.Thread(target=run, args=(n,)) for n in range(4)]
        [t.start() for t in threads_]
        [t.join() for t in threads_]
        print(sorted((n, set(v)) for n, v in found.items()))
    """
    result = run_script(body)
    assert result.stdout == "[(0, {0.0}), (1, {0.0}), (2, {1000.0}), (3, {1000.0})]\n", result.stderr


# ---- LLVM


def test_llvm_by_its_c_functions_is_llvm_by_llvmlite() -> None:
    if toolchain.library_path() is None:
        pytest.skip("this release of llvmlite is not known: its own modules are used")
    made = []
    for tools in (toolchain.toolchain(), toolchain._Binding()):
        machine = tools.machine(2, tools.cpu, tools.features)
        module = tools.parse(cpu._SAMPLE)
        tools.optimise(module, machine)
        text = tools.emit(module, machine, assembly=True)
        made.append(
            (tools.triple, tools.cpu, tools.features, tools.version, text, tools.emit(module, machine))
        )
        assert "define void @f" in str(module)
        with pytest.raises(RuntimeError, match="%y"):
            tools.parse("define i32 @f() {\n  ret i32 %y\n}")
        with pytest.raises(RuntimeError, match="does not dominate"):
            tools.parse(
                "define i32 @f(i1 %c) {\n  br i1 %c, label %a, label %b\na:\n  %y = add i32 1, 2\n  br label %b\n"
                "b:\n  ret i32 %y\n}"
            )
    assert made[0] == made[1]


def test_compiling_needs_none_of_llvmlites_modules() -> None:
    script = """
import sys, wengert, wengert.numpy as jnp
wengert.jit(lambda x: jnp.sin(x) + 1)(jnp.ones(5))
print([name for name in sys.modules if name.startswith("llvmlite.") and name != "llvmlite._version"])
"""
    expected = "[]" if toolchain.library_path() is not None and image.SUPPORTED else "llvmlite.binding"
    command = [sys.executable, "-c", script]
    assert expected in subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("preload", ["0", "1"])
def test_the_compiler_is_loaded_beside_the_program_if_that_is_wanted(preload: str) -> None:
    script = """
import sys, time, wengert.numpy as jnp
from wengert.runtime import loading
time.sleep(0.2)
loading.settle()
print("wengert.backends.llvm" in sys.modules, int(jnp.ones(3).sum()))
"""
    env = os.environ | {"WENGERT_PRELOAD_COMPILER": preload}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) > 1:
        assert done.stdout == f"{preload == '1'} 3\n"
