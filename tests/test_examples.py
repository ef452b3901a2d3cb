"""The scripts in examples/ run, and say what they are meant to say."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

# For each script some of the lines that it prints, which are what it is there to show.
SHOWN = {
    "arrays": [
        "an array of 32-bit floats: Array([0. , 0.5, 1. , 1.5, 2. ], dtype=float32)",
        "x.at[[0, 0]] adds twice:         [2.  0.5 1.  1.5 2. ]",
        "x[99]                            2.0",
        'x.at[99].get(mode="fill")        nan',
        'x.at[6].get(mode="wrap")         0.5',
        "    int8      + int      -> int8",
        "    bfloat16  + float16  -> float32",
    ],
    "random_keys": ["one key, one result: 0.48870957 0.48870957"],
    "tracing": [
        "    tracing with x = JitTracer(float32[2]), factor = JitTracer(~float32[])",
        "    [4. 4. 4.]",
        "    d:f32[] = mul a a",
    ],
    "control_flow": [
        "    Attempted boolean conversion of traced array with shape bool[].",
        "where chooses element by element: [-0.2  1.   3. ]",
        "while_loop, as many steps as it takes: 1.4142135 100.0",
        "    Array boolean indices must be concrete; got bool[3]",
    ],
    "derivatives": [
        "    b:f32[] = integer_pow[y=1] a",
        "The second derivative of x³ at 2: 12.0",
        "Jacobian, by rows (backwards): the same? True",
        "vjp, a row times the Jacobian: [4. 5. 6.]",
    ],
    "batches": [
        "three points: [11. 23. 35.]",
        "      dimension_numbers=(([0], [1]), ([], []))",
        " [0. 4. 2.]]",
    ],
    "pytrees": [
        "structure: PyTreeDef({'bias': *, 'name': None, 'weights': [*, *]})",
        "A line through noisy points: slope 1.91, offset 10.02",
    ],
    "linear_solves": ["determinant: 10.0  its gradient is det(A) A⁻ᵀ:", " [-1.  4.]]"],
    "mlp": [],
    "wave": ["It was 0.5; found: 0.500"],
}


@pytest.mark.parametrize("name", SHOWN)
def test_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    output = capsys.readouterr().out
    lines = output.splitlines()
    for line in SHOWN[name]:
        assert line in lines, output
    if name == "mlp":
        losses = [float(line.split("loss ")[1].split(",")[0]) for line in lines]
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] < 0.2


@pytest.mark.skipif(find_spec("optax") is None, reason="optax is not installed")
def test_optimisers_of_optax() -> None:
    command = [sys.executable, "-W", "error", "-m", "wengert.as_jax", str(EXAMPLES / "optimisers.py")]
    output = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=120)
    assert output.returncode == 0, output.stderr
    heights = [float(line.rpartition(" ")[2]) for line in output.stdout.splitlines()]
    assert len(heights) == 4
    assert all(height < 0.1 for height in heights)


def test_every_example_is_tested() -> None:
    elsewhere = {"ten_lines", "neural_network", "optax_training", "optimisers"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= {*SHOWN, *elsewhere}
