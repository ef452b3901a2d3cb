"""Settings that all tests share. Flags are set before anything imports Wengert."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

# Every jaxpr and every loop program is checked before and after each pass and transformation.
os.environ.setdefault("WENGERT_ENABLE_CHECKS", "1")
# Pictures are drawn into files, never onto a screen.
os.environ.setdefault("MPLBACKEND", "Agg")

import wengert

# Compiling a program takes longer than Hypothesis expects of an example.
_COMPILING = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("quick", max_examples=25, deadline=None, suppress_health_check=_COMPILING)
# The same examples each time, so that a change is judged by what it changes; `search` and `long` draw others.
settings.register_profile(
    "ci", max_examples=300, deadline=None, suppress_health_check=_COMPILING, derandomize=True
)
settings.register_profile("long", max_examples=20_000, deadline=None, suppress_health_check=_COMPILING)
# The first program that fails is printed at once, as it was drawn: to make it smaller can take hours.
settings.register_profile(
    "search",
    max_examples=5_000,
    deadline=None,
    suppress_health_check=_COMPILING,
    phases=[Phase.explicit, Phase.generate],
    print_blob=True,
    report_multiple_bugs=False,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_CACHE = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Compiled programs of a test run are kept in a folder of its own, which the workers inherit."""
    if "WENGERT_COMPILATION_CACHE_DIR" not in os.environ:
        config.stash[_CACHE] = os.environ["WENGERT_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(
            prefix="wengert-"
        )


def pytest_unconfigure(config: pytest.Config) -> None:
    if _CACHE in config.stash:
        shutil.rmtree(config.stash[_CACHE], ignore_errors=True)


@pytest.fixture
def x64() -> Iterator[None]:
    """64-bit defaults during the test."""
    with wengert.enable_x64(True):
        yield
