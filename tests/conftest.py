"""Settings that all tests share."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Compiling a program takes longer than Hypothesis expects of an example.
_COMPILING = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("quick", max_examples=25, deadline=None, suppress_health_check=_COMPILING)
settings.register_profile(
    "ci", max_examples=300, deadline=None, suppress_health_check=_COMPILING, print_blob=True
)
settings.register_profile("long", max_examples=20_000, deadline=None, suppress_health_check=_COMPILING)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Pictures are drawn into files, never onto a screen.
os.environ.setdefault("MPLBACKEND", "Agg")
