"""Programs written for JAX, each in a process of its own: what `jax` means holds for all of a process."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

import pytest

import wengert

EXAMPLES = Path(__file__).parent.parent / "examples"


def python(
    *arguments: str | Path, cwd: Path | None = None, first: Path | None = None
) -> tuple[int, str, str]:
    """Exit code, output and errors of python with these arguments; ``first`` comes first on its path."""
    path = [str(place) for place in (first, Path(wengert.__file__).parent.parent) if place]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*path, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)
    return done.returncode, done.stdout, done.stderr


def installed(code: str, first: Path | None = None) -> str:
    """What ``code`` prints after ``install()``; it must succeed."""
    code = f"import wengert.as_jax; wengert.as_jax.install()\n{dedent(code)}"
    returned, output, errors = python("-c", code, first=first)
    assert returned == 0, errors
    return output


MODULES = ["numpy", "lax", "nn", "random", "tree_util", "errors", "sharding", "scipy.stats.norm"]
MODULES += ["example_libraries.optimizers"]


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_the_same_objects(module: str) -> None:
    code = f"""
    import jax.{module} as by_import, wengert.{module} as ours, sys, importlib
    assert by_import is ours is sys.modules["jax.{module}"] is importlib.import_module("jax.{module}")
    assert ours.__name__ == ours.__spec__.name == "wengert.{module}"
    import jax
    assert jax.{module} is ours
    """
    installed(code)


def test_names_come_from_wengert() -> None:
    code = """
    import jax, wengert
    from jax import grad, jit, lax, numpy as jnp
    import jax.numpy
    assert jax.jit is jit is wengert.jit and grad is wengert.grad
    assert jnp is wengert.numpy and lax is wengert.lax
    assert jax.nn is wengert.nn and jax.random is wengert.random
    assert {"jit", "grad", "__version__"} <= set(dir(jax)) and "compiler" not in dir(jax)
    print(float(jax.grad(lambda x: jnp.sum(x**2))(jnp.arange(3.0))[2]))
    """
    assert installed(code) == "4.0\n"


def test_the_version_is_that_of_a_jax() -> None:
    code = """
    import jax, jax.version
    print(jax.__version__, jax.__version_info__, jax.version.__version__, jax.version.__version_info__)
    """
    version, *rest = installed(code).split(" ", 1)
    parts = tuple(int(part) for part in version.split("."))
    assert parts >= (0, 6)
    assert rest == [f"{parts} {version} {parts}\n"]


def test_jax_can_be_looked_for() -> None:
    code = """
    from importlib.util import find_spec
    assert find_spec("jax").name == "jax"
    assert find_spec("jax.numpy") is not None
    assert find_spec("jaxtyping_and_the_like") is None
    import jax
    assert find_spec("jax") is jax.__spec__
    """
    installed(code)


def test_installing_twice_is_installing_once() -> None:
    code = """
    import sys, jax
    finders = list(sys.meta_path)
    wengert.as_jax.install()
    assert sys.meta_path == finders
    import jax as again
    assert again is jax
    """
    installed(code)


@pytest.mark.parametrize(
    "module", ["jax.no_such", "jax.numpy.no_such", "jax._src.core", "jax.compiler", "jax.cli"]
)
def test_a_missing_module_is_named(module: str) -> None:
    code = f"""
    try:
        import {module}
    except ModuleNotFoundError as error:
        print(error.name, error)
    """
    expected = f"{module} No module named {module!r}: Wengert, which stands for JAX here, does not have it\n"
    assert installed(code) == expected


def test_a_missing_name_is_named() -> None:
    code = """
    import jax
    assert not hasattr(jax, "prims") and not hasattr(jax, "_lazy")
    print(getattr(jax, "no_such", "default"))
    jax.no_such
    """
    prelude = "import wengert.as_jax; wengert.as_jax.install()\n"
    returned, output, errors = python("-c", prelude + dedent(code))
    assert (returned, output) == (1, "default\n")
    expected = "module 'jax' has no attribute 'no_such': Wengert, which stands for JAX here, lacks it"
    assert expected in errors.splitlines()[-1]


def test_what_libraries_take_from_private_modules() -> None:
    code = """
    import jax._src.traceback_util as traceback_util, jax
    from jax._src.dtypes import TypePromotionError
    assert jax._src.traceback_util is traceback_util
    import sys, jax.errors
    print(traceback_util.include_frame(sys._getframe()), issubclass(TypePromotionError, ValueError))
    """
    assert installed(code) == "True True\n"


@pytest.fixture
def another_jax(tmp_path: Path) -> Path:
    """A folder with a package called jax."""
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("print('the other jax')\n")
    return tmp_path


def test_the_real_jax_is_not_imported(another_jax: Path) -> None:
    assert installed("import jax; print(jax.jit.__module__.split('.')[0])", first=another_jax) == "wengert\n"


def test_the_real_jax_came_first(another_jax: Path) -> None:
    code = "import jax, wengert.as_jax\nwengert.as_jax.install()"
    returned, output, errors = python("-c", code, first=another_jax)
    assert (returned, output) == (1, "the other jax\n")
    message = errors.splitlines()[-1]
    assert message.startswith("ImportError: JAX itself is already imported (from ")
    assert str(another_jax) in message
    assert message.endswith("or run the program with: python -m wengert.as_jax script.py")


SCRIPT = """\
import sys, os
import beside
import jax.numpy as jnp
print(__name__, sys.modules["__main__"].__dict__ is globals(), sys.argv, jnp.__name__)
print(os.path.basename(sys.path[0]), beside.place)
if "fail" in sys.argv:
    sys.exit(7)
if "raise" in sys.argv:
    raise ValueError("in the script")
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "script.py").write_text(SCRIPT)
    (folder / "beside.py").write_text("place = 'beside'\n")
    return folder


def test_a_script_runs_as_by_python(programs: Path) -> None:
    run = "-m", "wengert.as_jax", "programs/script.py"
    returned, output, errors = python(*run, "--flag", "a b", cwd=programs.parent)
    assert returned == 0, errors
    first = "__main__ True ['programs/script.py', '--flag', 'a b'] wengert.numpy\n"
    assert output == first + "programs beside\n"
    assert python(*run, "fail", cwd=programs.parent)[0] == 7
    returned, _, errors = python(*run, "raise", cwd=programs.parent)
    assert returned == 1
    assert errors.endswith("ValueError: in the script\n")


def test_a_module_runs_as_by_python(programs: Path) -> None:
    returned, output, errors = python("-m", "wengert.as_jax", "-m", "script", "x", cwd=programs)
    assert returned == 0, errors
    script = programs / "script.py"
    assert output.splitlines()[0] == f"__main__ True ['{script}', 'x'] wengert.numpy"


def test_code_runs_as_by_python(programs: Path) -> None:
    code = "import sys, beside, jax.numpy; print(__name__, sys.argv, repr(sys.path[0]), jax.numpy.__name__)"
    returned, output, errors = python("-m", "wengert.as_jax", "-c", code, "x", cwd=programs)
    assert returned == 0, errors
    assert output == "__main__ ['-c', 'x'] '' wengert.numpy\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: python -m wengert.as_jax script.py"),
        (["nowhere.py"], "wengert.as_jax: there is no file nowhere.py"),
        (["-m"], "wengert.as_jax: -m needs an argument"),
        (["--flag"], "wengert.as_jax: unknown option --flag"),
    ],
)
def test_what_cannot_be_run(arguments: list[str], message: str, tmp_path: Path) -> None:
    returned, output, errors = python("-m", "wengert.as_jax", *arguments, cwd=tmp_path)
    assert (returned, output) == (2, "")
    assert errors.startswith(message)
    assert "Traceback" not in errors


def test_the_help() -> None:
    returned, output, _ = python("-m", "wengert.as_jax", "--help")
    assert returned == 0
    assert "-c code" in output


@pytest.mark.parametrize("name", ["ten_lines", "neural_network"])
def test_examples_run(name: str) -> None:
    returned, output, errors = python(EXAMPLES / f"{name}.py")
    assert returned == 0, errors
    assert errors == ""
    last = output.splitlines()[-1]
    if name == "neural_network":
        assert float(last.split()[4]) > 95.0
    else:
        assert "its gradient:   [ 1.  6. 17. 34.]" in output


needs_optax = pytest.mark.skipif(find_spec("optax") is None, reason="optax is not installed")


@needs_optax
def test_unmodified_optax_trains_with_adam_and_sgd() -> None:
    """The example's own numbers: both optimisers find the weights to the noise in the data."""
    returned, output, errors = python("-W", "error", "-m", "wengert.as_jax", EXAMPLES / "optax_training.py")
    assert returned == 0, errors
    header, *results = output.splitlines()
    assert header.startswith("jax.numpy is wengert.numpy; optax ")
    assert [line.split()[0] for line in results] == ["adam", "sgd"]
    for line in results:
        words = line.replace(",", "").split()
        assert float(words[2]) > 1.0
        assert float(words[4]) < 1e-4
        assert float(words[-1]) < 5e-3


@needs_optax
@pytest.mark.parametrize(
    ("maker", "formula"),
    [
        ("optax.sgd(0.1, momentum=0.9)", "m = 0.9 * m + g; x = x - 0.1 * m"),
        (
            "optax.adam(0.1)",
            "m = 0.9 * m + 0.1 * g; v = 0.999 * v + 0.001 * g * g; "
            "x = x - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)",
        ),
    ],
)
def test_steps_of_optax_follow_the_formula(maker: str, formula: str) -> None:
    code = f"""
import jax, jax.numpy as jnp, numpy as np, optax
curvature = np.array([1.0, 3.0, 0.5])
optimizer = {maker}
parameters = jnp.array([1.0, -2.0, 0.5])
state = optimizer.init(parameters)

@jax.jit
def step(parameters, state):
    gradient = jax.grad(lambda x: 0.5 * jnp.sum(curvature * x**2))(parameters)
    updates, state = optimizer.update(gradient, state, parameters)
    return optax.apply_updates(parameters, updates), state

x, m, v = np.array([1.0, -2.0, 0.5]), 0.0, 0.0
for t in range(1, 11):
    parameters, state = step(parameters, state)
    g = curvature * x
    {formula}
    np.testing.assert_allclose(parameters, x, rtol=1e-4, atol=1e-6)
assert isinstance(parameters, jax.Array)
"""
    installed(code)
