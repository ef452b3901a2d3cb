"""Memory with guards: how `check_memory` finds programs that read or write where they should not.

A program that is checked gets each argument, each result and the arena between two pages that nobody may touch. It
runs twice: once with all of them against the page behind, once against the page before. (One that calls the host runs
once, against the one and the other in turn.) A read or a write beyond that side is a fault, which ends the process;
`python -X faulthandler` shows where it was. On the other side, up to the page, there are bytes of a pattern, and
there are such bytes between the temporaries in the arena, which share no memory here. They are looked at after the
call. Results and arena start as NaN or as large numbers, so that what was never written, or read before it was
written, shows in the results.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from wengert.compiler.loops import Buffer, Program
from wengert.core.array import Array

_PAGE: Final = mmap.PAGESIZE
_PATTERN: Final = 0xB7
_UNWRITTEN: Final = 0xA5
_ALIGN: Final = 64
_GAP: Final = 256  # bytes between two temporaries, four of the widest vectors

_mprotect: Final = ctypes.CDLL(None, use_errno=True).mprotect
_mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_PROT_NONE: Final = 0


def spread(program: Program) -> None:
    """Place the temporaries of a program such that they share no memory and have gaps between them."""
    offset = _GAP
    for temp in program.temps:
        temp.offset = offset
        offset = -(-(offset + temp.nbytes + _GAP) // _ALIGN) * _ALIGN
    program.arena = offset if program.temps else 0


class _Region:
    """Memory between two pages that nobody may touch: `data`, and the `rest` up to the page that is further away."""

    __slots__ = ("at_end", "data", "pages", "rest")

    def __init__(self, nbytes: int, at_end: bool):
        inner = -(-nbytes // _PAGE) * _PAGE
        self.pages = mmap.mmap(-1, inner + 2 * _PAGE)
        whole = np.frombuffer(self.pages, np.uint8)
        start = whole.__array_interface__["data"][0]
        for page in (start, start + _PAGE + inner):
            if _mprotect(page, _PAGE, _PROT_NONE) != 0:
                raise OSError(ctypes.get_errno(), "the system does not protect pages of memory")
        usable = whole[_PAGE : _PAGE + inner]
        self.at_end = at_end
        cut = inner - nbytes if at_end else nbytes
        self.data, self.rest = (usable[cut:], usable[:cut]) if at_end else (usable[:cut], usable[cut:])
        self.rest[:] = _PATTERN

    @property
    def address(self) -> int:
        return int(self.data.__array_interface__["data"][0])


def _unwritten(buffer: Buffer) -> int:
    """The byte that memory is filled with before it is written: it makes NaN, or a large number."""
    return 0xFF if buffer.dtype.kind in "fcV" else _UNWRITTEN


class GuardedMemory:
    """The memory for one call of a program whose temporaries are `spread`.

    Raises OSError if the system does not protect memory.
    """

    def __init__(self, program: Program, args: Sequence[Array], at_end: bool):
        self.program = program
        self._args = [_Region(b.nbytes, at_end) for b in program.args]
        self._given = [ctypes.string_at(a.address(), b.nbytes) for a, b in zip(args, program.args)]
        for region, given in zip(self._args, self._given):
            region.data[:] = np.frombuffer(given, np.uint8)
        self._results = [_Region(b.nbytes, at_end) for b in program.results]
        for region, buffer in zip(self._results, program.results):
            region.data[:] = _unwritten(buffer)
        self._arena = _Region(program.arena, at_end)
        self._arena.data[:] = _PATTERN
        for temp in program.temps:
            self._arena.data[temp.offset : temp.offset + temp.nbytes] = _unwritten(temp)

    def addresses(self) -> list[int]:
        """What the program is called with."""
        return [region.address for region in (*self._args, *self._results, self._arena)]

    def check(self) -> None:
        """Raise RuntimeError if the program wrote where it should not have."""
        program = self.program
        for buffer, region in zip((*program.args, *program.results), (*self._args, *self._results)):
            before, behind = (region.rest, None) if region.at_end else (None, region.rest)
            self._check_around(buffer, before, behind)
        for buffer, region, given in zip(program.args, self._args, self._given):
            changed = np.flatnonzero(region.data != np.frombuffer(given, np.uint8))
            if changed.size:
                raise RuntimeError(
                    f"the program {program.name} changed its argument {_described(buffer)} at byte {changed[0]}"
                )
        self._check_arena()

    def _check_arena(self) -> None:
        # Half of a gap belongs to each of its neighbours: the temporary that is closer is named.
        temps, data, start = self.program.temps, self._arena.data, 0
        for n, temp in enumerate(temps):
            end = temp.offset + temp.nbytes
            last = n + 1 == len(temps)
            stop = len(data) if last else temps[n + 1].offset - _GAP // 2
            self._check_around(temp, data[start : temp.offset], data[end:stop])
            start = stop

    def _check_around(self, buffer: Buffer, before: Any, behind: Any) -> None:
        for bytes_, side in ((before, "before the start"), (behind, "past the end")):
            hit: Any = () if bytes_ is None else np.flatnonzero(bytes_ != _PATTERN)
            if len(hit):
                offset = hit[0] if side == "past the end" else len(bytes_) - hit[-1]
                raise RuntimeError(
                    f"the program {self.program.name} wrote {len(hit)} bytes outside of its memory, the nearest one"
                    f" {offset} bytes {side} of {_described(buffer)}. This is a defect of the compiler: please report"
                    " the program"
                )

    def copy_results(self, addresses: Sequence[int]) -> None:
        """Move the results to other memory."""
        for region, address in zip(self._results, addresses, strict=True):
            ctypes.memmove(address, region.address, len(region.data))


def _described(buffer: Buffer) -> str:
    kinds = {"arg": "argument", "result": "result", "temp": "temporary"}
    shape = ",".join(map(str, buffer.shape))
    return f"the {kinds.get(buffer.kind, buffer.kind)} {buffer!r}:{buffer.dtype.name}[{shape}]"
