"""`wengert demo regression` and `wengert demo transforms`: what they compute, what they show, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wengert
from wengert import random, tree
from wengert.cli import main
from wengert.demos import regression, transforms
from wengert.test_util import check_grads

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")


def test_measurements_leave_the_gap_out() -> None:
    x, y = regression.measure(200, seed=3)
    assert x.shape == y.shape == (200, 1)
    assert x.dtype == y.dtype == np.float32
    assert not np.any((x > regression.GAP[0]) & (x < regression.GAP[1]))
    assert x.min() >= -1
    assert x.max() <= 1
    assert np.std(y - regression.truth(x, np)) == pytest.approx(regression.NOISE, rel=0.2)


def test_the_gradient_is_a_tree_like_the_parameters() -> None:
    parameters = regression.initialise(random.key(1))
    x, y = regression.measure(5, seed=0)
    gradient = wengert.grad(regression.loss)(parameters, x, y)
    assert tree.structure(gradient) == tree.structure(parameters)
    check_grads(lambda p: regression.loss(p, x, y), (parameters,), order=1, atol=2e-2, rtol=2e-2)


def test_networks_trained_together_are_as_those_trained_alone() -> None:
    found = regression.fit(20, 15, 0.01, seed=2, report=lambda *_: None)
    key = random.split(random.key(2), regression.NETWORKS)[3]
    alone = regression.initialise(key)
    state = alone, tree.map(np.zeros_like, alone)
    (parameters, _), losses = regression.descend(state, found.x, found.y, 0.01, 15)
    np.testing.assert_allclose(found.losses[3], losses, rtol=1e-4)
    together = tree.map(lambda leaf: leaf[3], found.parameters)
    for a, b in zip(tree.leaves(together), tree.leaves(parameters), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_the_descent_reaches_the_noise() -> None:
    steps: list[int] = []
    found = regression.fit(60, 1500, 0.01, seed=0, report=lambda n, _: steps.append(n))
    assert sum(steps) == 1500
    assert found.losses[:, 0].min() > 0.2
    assert found.losses[:, -1].max() < 3 * regression.NOISE**2
    inside = (found.grid[:, 0] > regression.GAP[0]) & (found.grid[:, 0] < regression.GAP[1])
    spread = found.end.std(axis=0)
    assert spread[inside].mean() > 3 * spread[~inside].mean()


def test_regression_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    arguments = ["demo", "regression", "--steps", "30", "--points", "12", "--output", str(folder)]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "[1]['weights']  float32 (32, 32)" in shown
    assert shown.rstrip().endswith(str(folder / "regression.png"))
    assert (folder / "regression.png").read_bytes().startswith(b"\x89PNG")
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().out == f"  {folder / 'regression.png'}\n"


def test_every_transformation_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "transforms", "--width", "100"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    for view in transforms.views().values():
        assert view.title in shown
    assert "cos(" in shown  # the loop that jit made
    assert "def chirp(x):         \u2502 { lambda ; a:f32[]. let" in shown


def test_views_are_of_the_programs_that_they_name() -> None:
    views = transforms.views()
    assert "add_any" not in views["make_jaxpr"].after
    assert views["jvp"].after.count("mul") == 4
    assert "cos" not in views["linearize"].after
    assert "f32[8]" in views["vmap"].after
    assert views["scan"].after.count("scan[") == 2


@pytest.mark.parametrize("width", [60, 80, 120])
def test_columns_keep_every_word(width: int) -> None:
    view = transforms.views()["scan"]
    columns = [
        line.split("\u2502") for line in transforms.side_by_side(view.before, view.after, width).splitlines()
    ]
    for text, column in ((view.before, 0), (view.after, 1)):
        assert "".join("".join(c[column] for c in columns).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transforms", "pmap"], "no transformation 'pmap' to show; there are make_jaxpr, jvp"),
        (["transforms", "--width", "20"], "need 60 columns side by side, not 20"),
        (["regression", "--output", "{file}"], "cannot write into the output folder"),
    ],
)
def test_bad_input(arguments: list[str], message: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").touch()
    assert main(["demo", *(a.format(file=tmp_path / "file") for a in arguments)]) == 2
    caught = capsys.readouterr()
    assert message in caught.err
    assert caught.err.count("\n") == 1
    assert caught.out == ""


@pytest.mark.parametrize("option", [["--steps", "0"], ["--rate", "nan"], ["--points", "many"]])
def test_options_are_checked(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["demo", "regression", *option])
    assert stopped.value.code == 2
    assert option[0] in capsys.readouterr().err
