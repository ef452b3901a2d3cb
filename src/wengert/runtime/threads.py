"""The worker team: parallel loops for a barrier's cost.

A program calls

    i32 @wengert_parallel(ptr %fn, ptr %ctx, i64 %n, i64 %grain)

which runs `fn(ctx, lo, hi, stop)` (void) over pieces that make up [0, n), on the team and on the
calling thread, and returns when all are done. Every piece but the last is a multiple of `grain` long and
starts at one. Where n is no more than `grain`, where the team is one thread, and where the team is taken (a
loop inside a loop, or a program in another Python thread), the calling thread runs all pieces.

It returns 0, or the status with which the program is to end (`interrupt`); then some pieces were not run, or not to
their ends. A piece that takes long calls `wengert_interrupt_look(stop)` now and then, and returns if that is not 0.

How it works. Thread k of T owns the k-th part of the range, so that sweep after sweep it finds its part in
its cache; it takes the part in four pieces or more, with an atomic add, and when it has no more, helps the
others with theirs. So a thread that the system has put aside delays nobody, except for a piece that it holds:
a loop does not wait for workers to wake up. The call ends when no piece is left and no worker is active.

Workers are daemon threads that Python starts and that stay in native code, without the GIL. Between loops
they watch a counter, for about 50 us, then sleep on a condition variable. The team starts at the first
parallel loop; it is as large as `num_threads` says (`WENGERT_NUM_THREADS`, config, `set_num_threads`), by
default as the number of CPUs that the process may use. After `fork` the child starts a team of its own.
"""

from __future__ import annotations

import atexit
import ctypes
import math
import os
import threading
import time
from typing import Final

from wengert.backends import cpu
from wengert.config import current
from wengert.core.processors import cpu_limit
from wengert.runtime import interrupt as _interrupt  # noqa: F401  (provides wengert_interrupt_...)
from wengert.runtime.floating import denormals_ir

_SPIN_SECONDS: Final = 50e-6
_MAX_THREADS: Final = 1024
_HEAVY_PIECE: Final = 16  # iterations, if one is a grain or more
_LONGEST_PIECE: Final = 256  # grains: between two pieces a thread looks whether the loop is to end

# Fields on a cache line of their own where threads write to them at the same time.
_STATE_IR: Final = """
%part = type { i64, i64, [6 x i64] }
@lock = internal global i32 0, align 128
@wengert_team_size = global i32 0
@wengert_team_stop = global i32 0
@wengert_team_spin = global i32 0
@wengert_team_start = global ptr null
@parts = internal global [1024 x %part] zeroinitializer, align 128
@wengert_team_generation = global i64 0, align 128
@sleepers = internal global i32 0, align 128
@open = internal global i32 0, align 128
@active = internal global i32 0, align 128
@job_fn = internal global ptr null, align 128
@job_ctx = internal global ptr null
@job_parts = internal global i64 0
@job_chunk = internal global i64 0
@job_stop = internal global i32 0, align 128
@wengert_interrupted = external global i32
declare i32 @wengert_interrupt_look(ptr)
declare i32 @wengert_interrupt_call(ptr)
@mutex = internal global [128 x i8] zeroinitializer, align 128
@condition = internal global [128 x i8] zeroinitializer, align 128
declare i32 @sched_yield()
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
PAUSE_DECLARATION
"""

_LOOP_IR: Final = """
; Whether the loop with its status at %stop is to end.
define internal i32 @look(ptr %stop) {
entry:
  %status = load atomic i32, ptr %stop monotonic, align 4
  %stopped = icmp ne i32 %status, 0
  br i1 %stopped, label %end, label %flag
flag:
  %flagged = load atomic i32, ptr @wengert_interrupted monotonic, align 4
  %quiet = icmp eq i32 %flagged, 0
  br i1 %quiet, label %end, label %ask
ask:
  %found = call i32 @wengert_interrupt_look(ptr %stop)
  ret i32 %found
end:
  ret i32 %status
}

; Run all pieces here.
define internal i32 @alone(ptr %fn, ptr %ctx, i64 %n, i64 %chunk) {
entry:
  %stop = alloca i32, align 4
  store i32 0, ptr %stop
  br label %loop
loop:
  %lo = phi i64 [ 0, %entry ], [ %end, %run ]
  %more = icmp slt i64 %lo, %n
  br i1 %more, label %check, label %done
check:
  %status = call i32 @look(ptr %stop)
  %good = icmp eq i32 %status, 0
  br i1 %good, label %run, label %done
run:
  %end = add i64 %lo, %chunk
  %hi = call i64 @llvm.smin.i64(i64 %end, i64 %n)
  call void %fn(ptr %ctx, i64 %lo, i64 %hi, ptr %stop)
  br label %loop
done:
  %last = load atomic i32, ptr %stop monotonic, align 4
  ret i32 %last
}

; Take pieces, first of one's own part, then of the others', until none is left.
define internal void @work(i64 %index) {
entry:
  %fn = load ptr, ptr @job_fn
  %ctx = load ptr, ptr @job_ctx
  %parts = load i64, ptr @job_parts
  %chunk = load i64, ptr @job_chunk
  %own = urem i64 %index, %parts
  br label %part
part:
  %turn = phi i64 [ 0, %entry ], [ %turn.next, %next ]
  %k = phi i64 [ %own, %entry ], [ %k.next, %next ]
  %p = getelementptr %part, ptr @parts, i64 %k
  %p.hi = getelementptr %part, ptr @parts, i64 %k, i32 1
  %hi = load i64, ptr %p.hi
  br label %look
look:
  %status = call i32 @look(ptr @job_stop)
  %stopped = icmp ne i32 %status, 0
  br i1 %stopped, label %done, label %see
see:
  %seen = load atomic i64, ptr %p monotonic, align 8
  %left = icmp slt i64 %seen, %hi
  br i1 %left, label %take, label %next
take:
  %lo = atomicrmw add ptr %p, i64 %chunk monotonic
  %got = icmp slt i64 %lo, %hi
  br i1 %got, label %run, label %next
run:
  %end = add i64 %lo, %chunk
  %end.hi = call i64 @llvm.smin.i64(i64 %end, i64 %hi)
  call void %fn(ptr %ctx, i64 %lo, i64 %end.hi, ptr @job_stop)
  br label %look
next:
  %turn.next = add i64 %turn, 1
  %k.up = add i64 %k, 1
  %wrap = icmp eq i64 %k.up, %parts
  %k.next = select i1 %wrap, i64 0, i64 %k.up
  %more = icmp slt i64 %turn.next, %parts
  br i1 %more, label %part, label %done
done:
  ret void
}

; Say how [0, n) is cut, for `threads` threads.
define internal void @divide(i64 %n, i64 %grain, i64 %threads) {
entry:
  %n.up = add i64 %n, %grain
  %n.up1 = sub i64 %n.up, 1
  %units = sdiv i64 %n.up1, %grain
  %parts = call i64 @llvm.smin.i64(i64 %units, i64 %threads)
  %per = sdiv i64 %units, %parts
  %extra = srem i64 %units, %parts
  %quarter = sdiv i64 %per, 4
  %single = icmp eq i64 %grain, 1
  %longest = select i1 %single, i64 HEAVY, i64 LONGEST
  %short = call i64 @llvm.smin.i64(i64 %quarter, i64 %longest)
  %pieces = call i64 @llvm.smax.i64(i64 %short, i64 1)
  %chunk = mul i64 %pieces, %grain
  store i64 %parts, ptr @job_parts
  store i64 %chunk, ptr @job_chunk
  br label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %k1, %loop ]
  %unit = phi i64 [ 0, %entry ], [ %unit.hi, %loop ]
  %longer = icmp slt i64 %k, %extra
  %one = zext i1 %longer to i64
  %length = add i64 %per, %one
  %unit.hi = add i64 %unit, %length
  %lo = mul i64 %unit, %grain
  %hi.full = mul i64 %unit.hi, %grain
  %hi = call i64 @llvm.smin.i64(i64 %hi.full, i64 %n)
  %p = getelementptr %part, ptr @parts, i64 %k
  %p.hi = getelementptr %part, ptr @parts, i64 %k, i32 1
  store atomic i64 %lo, ptr %p monotonic, align 8
  store i64 %hi, ptr %p.hi
  %k1 = add i64 %k, 1
  %more = icmp slt i64 %k1, %parts
  br i1 %more, label %loop, label %done
done:
  ret void
}

define internal void @wake() {
entry:
  %old = atomicrmw add ptr @wengert_team_generation, i64 1 seq_cst
  %asleep = load atomic i32, ptr @sleepers seq_cst, align 4
  %any = icmp ne i32 %asleep, 0
  br i1 %any, label %call, label %done
call:
  %a = call i32 @pthread_mutex_lock(ptr @mutex)
  %b = call i32 @pthread_cond_broadcast(ptr @condition)
  %c = call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %done
done:
  ret void
}

define i32 @wengert_parallel(ptr %fn, ptr %ctx, i64 %n, i64 %grain.asked) {
entry:
  %grain = call i64 @llvm.smax.i64(i64 %grain.asked, i64 1)
  %small = icmp sle i64 %n, %grain
  %size.old = load atomic i32, ptr @wengert_team_size monotonic, align 4
  %alone = icmp eq i32 %size.old, 1
  %plain = or i1 %small, %alone
  br i1 %plain, label %serial, label %try
try:
  %pair = cmpxchg ptr @lock, i32 0, i32 1 acquire monotonic
  %got = extractvalue { i32, i1 } %pair, 1
  br i1 %got, label %ours, label %serial
ours:
  %size.now = load atomic i32, ptr @wengert_team_size monotonic, align 4
  %absent = icmp eq i32 %size.now, 0
  br i1 %absent, label %start, label %ready
start:
  %hook = load ptr, ptr @wengert_team_start
  %raised = call i32 @wengert_interrupt_call(ptr %hook)
  %started = icmp eq i32 %raised, 0
  br i1 %started, label %ready, label %give.in
give.in:
  store atomic i32 0, ptr @lock release, align 4
  ret i32 %raised
ready:
  %size = load atomic i32, ptr @wengert_team_size monotonic, align 4
  %team = icmp sgt i32 %size, 1
  br i1 %team, label %run, label %give.up
give.up:
  store atomic i32 0, ptr @lock release, align 4
  br label %serial
run:
  %threads = sext i32 %size to i64
  store atomic i32 0, ptr @job_stop monotonic, align 4
  store ptr %fn, ptr @job_fn
  store ptr %ctx, ptr @job_ctx
  call void @divide(i64 %n, i64 %grain, i64 %threads)
  store atomic i32 1, ptr @open seq_cst, align 4
  call void @wake()
  call void @work(i64 0)
  store atomic i32 0, ptr @open seq_cst, align 4
  %spin = load i32, ptr @wengert_team_spin
  br label %wait
wait:
  %turn = phi i32 [ 0, %run ], [ %turn1, %pause ], [ %spin, %wait.on ]
  %active = load atomic i32, ptr @active seq_cst, align 4
  %over = icmp eq i32 %active, 0
  br i1 %over, label %finish, label %busy
busy:
  %hot = icmp slt i32 %turn, %spin
  br i1 %hot, label %pause, label %yield
pause:
  PAUSE
  %turn1 = add i32 %turn, 1
  br label %wait
yield:
  %y = call i32 @sched_yield()
  %known = load atomic i32, ptr @job_stop monotonic, align 4
  %ending = icmp ne i32 %known, 0
  br i1 %ending, label %tell, label %ask
tell:
  ; somebody may have taken back the flag before all have seen it
  store atomic i32 1, ptr @wengert_interrupted monotonic, align 4
  br label %wait.on
ask:
  %asked = call i32 @look(ptr @job_stop)
  br label %wait.on
wait.on:
  br label %wait
finish:
  %status = load atomic i32, ptr @job_stop monotonic, align 4
  store atomic i32 0, ptr @lock release, align 4
  ret i32 %status
serial:
  %single = icmp eq i64 %grain, 1
  %longest = select i1 %single, i64 HEAVY, i64 LONGEST
  %piece = mul i64 %grain, %longest
  %found = call i32 @alone(ptr %fn, ptr %ctx, i64 %n, i64 %piece)
  ret i32 %found
}

; `first` is the generation when the worker was made: it must not miss what happens until it is here.
define void @wengert_team_worker(i64 %index, i64 %first) {
entry:
  %mode = call i64 @flush_denormals()
  br label %watch
watch:
  %seen = phi i64 [ %first, %entry ], [ %new, %next ]
  %spin = load i32, ptr @wengert_team_spin
  br label %spinning
spinning:
  %turn = phi i32 [ 0, %watch ], [ %turn1, %pause ]
  %now = load atomic i64, ptr @wengert_team_generation acquire, align 8
  %changed = icmp ne i64 %now, %seen
  br i1 %changed, label %awake, label %still
still:
  %hot = icmp slt i32 %turn, %spin
  br i1 %hot, label %pause, label %bed
pause:
  PAUSE
  %turn1 = add i32 %turn, 1
  br label %spinning
bed:
  %a = call i32 @pthread_mutex_lock(ptr @mutex)
  %b = atomicrmw add ptr @sleepers, i32 1 seq_cst
  br label %asleep
asleep:
  %g = load atomic i64, ptr @wengert_team_generation seq_cst, align 8
  %called = icmp ne i64 %g, %seen
  br i1 %called, label %up, label %sleep
sleep:
  %c = call i32 @pthread_cond_wait(ptr @condition, ptr @mutex)
  br label %asleep
up:
  %d = atomicrmw sub ptr @sleepers, i32 1 seq_cst
  %e = call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %awake
awake:
  %new = load atomic i64, ptr @wengert_team_generation seq_cst, align 8
  %stop = load atomic i32, ptr @wengert_team_stop seq_cst, align 4
  %stopped = icmp ne i32 %stop, 0
  br i1 %stopped, label %done, label %enter
enter:
  ; The caller closes the job, then waits for active to be 0: either it sees us, or we see the job closed.
  %f = atomicrmw add ptr @active, i32 1 seq_cst
  %open = load atomic i32, ptr @open seq_cst, align 4
  %there = icmp ne i32 %open, 0
  br i1 %there, label %work, label %leave
work:
  call void @work(i64 %index)
  br label %leave
leave:
  %h = atomicrmw sub ptr @active, i32 1 seq_cst
  br label %next
next:
  br label %watch
done:
  ret void
}

; 1 if the team is ours now. While it is, loops run serially.
define i32 @wengert_team_acquire() {
  %pair = cmpxchg ptr @lock, i32 0, i32 1 acquire monotonic
  %got = extractvalue { i32, i1 } %pair, 1
  %word = zext i1 %got to i32
  ret i32 %word
}

define void @wengert_team_release() {
  store atomic i32 0, ptr @lock release, align 4
  ret void
}

; Send the workers home.
define void @wengert_team_dismiss() {
  store atomic i32 1, ptr @wengert_team_stop seq_cst, align 4
  call void @wake()
  ret void
}

; As if no loop had ever run: for the start, and for the child of a fork, which has no workers.
define void @wengert_team_reset() {
  store i32 0, ptr @lock
  store i32 0, ptr @wengert_team_size
  store i32 0, ptr @wengert_team_stop
  store i32 0, ptr @sleepers
  store i32 0, ptr @open
  store i32 0, ptr @active
  store i32 0, ptr @job_stop
  call void @llvm.memset.p0.i64(ptr @mutex, i8 0, i64 128, i1 false)
  call void @llvm.memset.p0.i64(ptr @condition, i8 0, i64 128, i1 false)
  %a = call i32 @pthread_mutex_init(ptr @mutex, ptr null)
  %b = call i32 @pthread_cond_init(ptr @condition, ptr null)
  ret void
}

define void @wengert_team_pauses(i32 %n) {
entry:
  br label %loop
loop:
  %i = phi i32 [ 0, %entry ], [ %i1, %loop ]
  PAUSE
  %i1 = add i32 %i, 1
  %more = icmp slt i32 %i1, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""


def _team_ir() -> str:
    if os.uname().machine.lower() in ("x86_64", "amd64", "i686"):
        declaration, pause = "declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"
    else:
        declaration, pause = "declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"
    return (
        _STATE_IR.replace("PAUSE_DECLARATION", declaration)
        + denormals_ir()
        + _LOOP_IR.replace("PAUSE", pause)
        .replace("LONGEST", str(_LONGEST_PIECE))
        .replace("HEAVY", str(_HEAVY_PIECE))
    )


class _Team:
    """The native team and its Python threads. There is one."""

    def __init__(self) -> None:
        self.code = code = cpu.load_routines("threads", _team_ir(), __file__)
        self.workers: list[threading.Thread] = []
        self.wanted: int | None = None
        self.size = ctypes.c_int32.from_address(code.address("wengert_team_size"))
        self.stop = ctypes.c_int32.from_address(code.address("wengert_team_stop"))
        self.generation = ctypes.c_int64.from_address(code.address("wengert_team_generation"))
        worker_type = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)
        self.worker = worker_type(code.address("wengert_team_worker"))
        self.acquire = ctypes.CFUNCTYPE(ctypes.c_int32)(code.address("wengert_team_acquire"))
        self.release = ctypes.CFUNCTYPE(None)(code.address("wengert_team_release"))
        self.dismiss = ctypes.CFUNCTYPE(None)(code.address("wengert_team_dismiss"))
        self.reset = ctypes.CFUNCTYPE(None)(code.address("wengert_team_reset"))
        self.reset()
        self.hook = self.start
        ctypes.c_void_p.from_address(code.address("wengert_team_start")).value = id(self.hook)
        spin = ctypes.c_int32.from_address(code.address("wengert_team_spin"))
        spin.value = self._measure_spin()

    def _measure_spin(self) -> int:
        # One pause takes 5 to 50 ns, depending on the processor.
        pauses = ctypes.CFUNCTYPE(None, ctypes.c_int32)(self.code.address("wengert_team_pauses"))
        seconds = math.inf
        for _ in range(5):
            start = time.perf_counter()
            pauses(200)
            seconds = min(seconds, time.perf_counter() - start)
        return max(100, min(100_000, int(200 * _SPIN_SECONDS / seconds)))

    def target_size(self) -> int:
        asked = self.wanted or current().num_threads or cpu_limit()
        return max(1, min(asked, cpu_limit(), _MAX_THREADS))

    def start(self) -> None:
        """Start the workers. The native side calls this, holding the team."""
        generation = self.generation.value
        try:
            for index in range(1, self.target_size()):
                worker = threading.Thread(target=self.worker, args=(index, generation), daemon=True)
                worker.name = f"wengert-{index}"
                worker.start()
                self.workers.append(worker)
        except RuntimeError:
            pass  # the system, or the ending interpreter, gives no more threads
        finally:
            self.size.value = 1 + len(self.workers)

    def disband(self, patience: float, size: int) -> bool:
        """Send the workers home; False if loops kept the team longer than `patience` seconds.

        With size 0 the next parallel loop starts a new team; with size 1 there will be none.
        """
        deadline = time.monotonic() + patience
        while not self.acquire():
            if time.monotonic() > deadline:
                return False
            time.sleep(2e-4)
        try:
            self.dismiss()
            for worker in self.workers:
                worker.join()
            self.workers.clear()
            self.stop.value = 0
            self.size.value = size
        finally:
            self.release()
        return True


_team: _Team | None = None


def _the_team() -> _Team:
    global _team
    with cpu.lock:
        if _team is None:
            _team = _Team()
            atexit.register(_team.disband, patience=0.5, size=1)
            os.register_at_fork(after_in_child=_after_fork)
        return _team


def _after_fork() -> None:
    if _team is not None:
        _team.workers.clear()
        _team.reset()


def set_num_threads(n: int | None) -> None:
    """Let parallel loops and BLAS use `n` threads from now on, with the caller's; None means the default.

    No more are used than the process has CPUs. Waits for parallel loops that are running in other threads.
    Raises ValueError if n is less than 1, RuntimeError if a loop keeps the team for a minute.
    """
    if n is not None and n < 1:
        raise ValueError(f"the number of threads is at least 1, got {n}")
    team = _the_team()
    before, team.wanted = team.wanted, n
    if team.size.value != 0 and not team.disband(patience=60.0, size=0):
        team.wanted = before
        raise RuntimeError("a parallel loop has run for a minute: the number of threads stays as it was")
    cpu.set_blas_threads(team.target_size())


def num_threads() -> int:
    """How many threads a parallel loop uses, or would use if one started now."""
    team = _the_team()
    return team.size.value or team.target_size()


def _address(name: str) -> int | None:
    return _the_team().code.address(name)


cpu.add_provider("wengert_parallel", _address)
if (_configured := current().num_threads) is not None:
    cpu.set_blas_threads(min(_configured, cpu_limit()))
