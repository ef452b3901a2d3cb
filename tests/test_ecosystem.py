"""Unmodified libraries over JAX give on Wengert what they give on JAX.

Each program prints numbers by name; what JAX 0.12 gave is in tests/golden (python tests/optax_zoo.py >
tests/golden/optax.json, in an environment with JAX, makes it anew).
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from test_as_jax import python

HERE = Path(__file__).parent


PROGRAMS = {"optax": ["optax"], "equinox": ["equinox"], "solvers": ["diffrax", "lineax", "optimistix"]}


@pytest.mark.parametrize("program", PROGRAMS)
def test_as_on_jax(program: str) -> None:
    missing = [library for library in PROGRAMS[program] if find_spec(library) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    returned, output, errors = python("-W", "ignore", "-m", "wengert.as_jax", HERE / f"{program}_zoo.py")
    assert returned == 0, errors
    found = json.loads(output)
    expected = json.loads((HERE / "golden" / f"{program}.json").read_text())
    assert found.keys() == expected.keys()
    wrong = []
    for name, values in expected.items():
        same = len(values) == len(found[name]) and np.allclose(found[name], values, rtol=1e-4, atol=1e-6)
        if not same:
            wrong.append(name)
    assert not wrong
