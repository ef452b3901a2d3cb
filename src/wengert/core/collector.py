"""Python's garbage collector, while much is made that stays.

Tracing and compiling make many objects, nearly all of which live on for a while. Each seven hundred of them would
start a search for garbage, which took a fifth of the time of a first call. So it is started less often meanwhile.
"""

from __future__ import annotations

import gc
import os
import threading
from typing import Final

_SELDOM: Final = (100_000, 20, 100)


class _Seldom:
    """A context in which garbage is looked for seldom; the same for all threads, as the setting is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._before = _SELDOM
        os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        """Threads that were in the context are not here."""
        self._lock = threading.Lock()
        if self._depth:
            self._depth = 1
            self.__exit__()

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._before = gc.get_threshold()
                if 0 < self._before[0] < _SELDOM[0]:  # 0 means that the user has turned it off
                    gc.set_threshold(*_SELDOM)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._depth = max(self._depth - 1, 0)
            if self._depth == 0 and gc.get_threshold()[0] == _SELDOM[0]:
                gc.set_threshold(*self._before)


collecting_seldom: Final = _Seldom()
