"""Denormal numbers count as zero in compiled programs, as they do in XLA's.

A processor takes some hundred cycles for an operation on a denormal number (below 1.2e-38 in float32). Simulations meet
many: the front of a wave is a band of them, which more than doubled the time of the wave demonstration. So a program
runs with denormal operands and results flushed to zero. Its caller gets the mode back that it had, and so does Python
code that it calls.
"""

from __future__ import annotations

import platform
from typing import Final

_X86: Final = """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define internal i64 @set_denormals(i32 %flush) {
  %p = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %p)
  %old = load i32, ptr %p
  %rest = and i32 %old, -32833
  %new = or i32 %rest, %flush
  store i32 %new, ptr %p
  call void @llvm.x86.sse.ldmxcsr(ptr %p)
  %mode = zext i32 %old to i64
  ret i64 %mode
}
define internal i64 @flush_denormals() {
  %mode = call i64 @set_denormals(i32 32832)  ; results become zero, operands count as zero
  ret i64 %mode
}
define internal i64 @keep_denormals() {
  %mode = call i64 @set_denormals(i32 0)
  ret i64 %mode
}
define internal void @restore_denormals(i64 %mode) {
  %p = alloca i32
  %old = trunc i64 %mode to i32
  store i32 %old, ptr %p
  call void @llvm.x86.sse.ldmxcsr(ptr %p)
  ret void
}
"""

_ARM: Final = """
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)
define internal i64 @flush_denormals() {
  %mode = call i64 @llvm.aarch64.get.fpcr()
  %new = or i64 %mode, 16777216
  call void @llvm.aarch64.set.fpcr(i64 %new)
  ret i64 %mode
}
define internal i64 @keep_denormals() {
  %mode = call i64 @llvm.aarch64.get.fpcr()
  %new = and i64 %mode, -16777217
  call void @llvm.aarch64.set.fpcr(i64 %new)
  ret i64 %mode
}
define internal void @restore_denormals(i64 %mode) {
  call void @llvm.aarch64.set.fpcr(i64 %mode)
  ret void
}
"""

_OTHER: Final = """
define internal i64 @flush_denormals() {
  ret i64 0
}
define internal i64 @keep_denormals() {
  ret i64 0
}
define internal void @restore_denormals(i64 %mode) {
  ret void
}
"""


def denormals_ir() -> str:
    """LLVM IR of `i64 @flush_denormals()` and `i64 @keep_denormals()`, which give the mode to hand to
    `void @restore_denormals(i64)`."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        return _X86
    return _ARM if machine in ("aarch64", "arm64") else _OTHER
