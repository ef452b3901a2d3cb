"""`wengert demo wave`: its physics against an independent witness, the inversion, the pictures, bad input."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as wnp
from wengert.cli import main
from wengert.demos import common
from wengert.demos.wave import inversion, physics, terrain, timing
from wengert.demos.wave.physics import forward, gardner_density, largest_stable_step

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")

SHAPE = (7, 6)
SPACING = (90.0, 110.0)
SOURCE = np.array([3, 2], dtype=np.int32)


def random_ground(shape: tuple[int, int]) -> Any:
    rng = np.random.default_rng(0)
    velocity = rng.uniform(2000, 4000, shape).astype(np.float32)
    density = rng.uniform(2000, 2500, shape).astype(np.float32)
    return velocity, density


def point_by_point(velocity: Any, density: Any, f0: float, steps: int, dt: float) -> Any:
    """The scheme written for one grid point at a time, in float64, straight from the equation."""
    (nx, ny), (dx, dy) = velocity.shape, SPACING
    rho, v = density.astype(float), velocity.astype(float)
    past, present = np.zeros((nx, ny)), np.zeros((nx, ny))
    fields = []

    def flux(p: Any, i: int, j: int, axis: int) -> float:
        """dp/dx / rho, or dp/dy / rho, between a point and the next along the axis; 0 past the high rim."""
        k, m = (i + 1, j) if axis == 0 else (i, j + 1)
        if k == nx or m == ny:
            return 0.0
        half = 0.5 * (rho[i, j] + rho[k, m])
        return float((p[k, m] - p[i, j]) / (dx, dy)[axis] / half)

    for it in range(steps):
        a, t = (math.pi * f0) ** 2, it * dt - 1.2 / f0
        ricker = 1e-3 * (1 - 2 * a * t * t) * math.exp(-a * t * t)
        future = np.zeros((nx, ny))
        for i in range(nx):
            for j in range(ny):
                divergence = 0.0
                if i > 0:
                    divergence += (flux(present, i, j, 0) - flux(present, i - 1, j, 0)) / dx
                if j > 0:
                    divergence += (flux(present, i, j, 1) - flux(present, i, j - 1, 1)) / dy
                force = rho[i, j] * v[i, j] ** 2 * divergence
                if (i, j) == tuple(SOURCE):
                    force += 4 * math.pi * v[i, j] ** 2 * ricker
                future[i, j] = 2 * present[i, j] - past[i, j] + dt * dt * force
        past, present = present, future
        fields.append(future)
    return np.stack(fields)


def test_all_three_ways_agree_with_the_scheme_point_by_point() -> None:
    velocity, density = random_ground(SHAPE)
    f0, steps = 3.0, 60
    dt = 0.8 * largest_stable_step(velocity, *SPACING)
    expected = point_by_point(velocity, density, f0, steps, dt)
    scale = np.abs(expected).max()
    run = partial(forward, source_i=SOURCE, f0=f0, NX=SHAPE[0], NY=SHAPE[1], NSTEPS=steps)
    run = partial(run, DELTAX=SPACING[0], DELTAY=SPACING[1], DELTAT=dt)
    loop = {"scan": physics.python_scan}
    in_numpy = np.stack(run(velocity, density, xp=np, **loop))
    eager = np.stack(run(wnp.asarray(velocity), wnp.asarray(density), **loop))
    jitted = wengert.jit(run)(velocity, density)
    assert in_numpy.dtype == eager.dtype == jitted.dtype == np.float32
    assert in_numpy.shape == eager.shape == jitted.shape == (steps, *SHAPE)
    for result in in_numpy, eager, jitted:
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5 * scale)


def test_a_wave_arrives_when_it_should() -> None:
    """In uniform ground the wavelet's peak, sent at 1.2 / f0, comes distance / velocity later."""
    n, spacing, speed, f0, distance = 81, 10.0, 2500.0, 12.0, 30
    velocity = np.full((n, n), speed, dtype=np.float32)
    dt = 0.5 * largest_stable_step(velocity, spacing, spacing)
    place = np.array([40, 40])
    arguments = velocity, gardner_density(velocity), place, f0, n, n, 180, spacing, spacing, dt
    wavefields = np.asarray(wengert.jit(partial(forward, *arguments))())
    near, far = (wavefields[:, 40 + k, 40] for k in (distance // 3, distance))
    delay = (np.argmax(far) - np.argmax(near)) * dt
    assert delay == pytest.approx(distance * 2 / 3 * spacing / speed, abs=2 * dt)
    np.testing.assert_allclose(wavefields[-1], wavefields[-1].T, atol=1e-4 * np.abs(wavefields[-1]).max())


def test_the_stability_limit_is_where_the_pressure_blows_up() -> None:
    velocity = np.full((12, 12), 3000.0, dtype=np.float32)
    limit = largest_stable_step(velocity, 50.0, 80.0)

    def peak(dt: float) -> float:
        field = forward(
            velocity, gardner_density(velocity), SOURCE, 4.0, 12, 12, 400, 50.0, 80.0, dt,
            xp=np, scan=physics.python_scan,
        )  # fmt: skip
        return float(np.abs(field[-1]).max())

    with np.errstate(over="ignore", invalid="ignore"):
        assert peak(0.98 * limit) < 1e3
        assert not peak(1.05 * limit) < 1e6


def test_density_follows_gardner() -> None:
    # Gardner's figure 2: about 2.3 g/cm3 at 10,000 ft/s, that is 3048 m/s.
    assert gardner_density(3048.0) == pytest.approx(2303.4, abs=0.1)


def test_resampling_keeps_the_mean_and_a_slope() -> None:
    plane = np.add.outer(np.arange(40.0), 2 * np.arange(30.0))
    for shape in [(40, 30), (20, 10), (80, 60), (13, 47)]:
        new = terrain.resample(plane, shape)
        assert new.shape == shape
        assert new.mean() == pytest.approx(plane.mean(), rel=1e-3)
        assert plane.min() <= new.min() < new.max() <= plane.max()
        inside = new[2:-2, 2:-2]
        np.testing.assert_allclose(np.diff(inside, axis=0), 40 / shape[0], rtol=0.35)


def test_the_terrain_is_in_metres() -> None:
    ground = terrain.jacksboro()
    assert ground.elevation is not None
    assert ground.shape == ground.elevation.shape == (403, 344)
    assert (ground.elevation.min(), ground.elevation.max()) == (236, 1076)
    assert ground.velocity.min() == terrain.SLOWEST
    assert ground.velocity.max() == terrain.FASTEST
    # 3 arc seconds at 36.6 degrees north.
    assert ground.spacing == (pytest.approx(74.4, abs=0.1), pytest.approx(92.7, abs=0.1))
    assert ground.velocity.dtype == ground.density.dtype == np.float32


@pytest.fixture(scope="module")
def problem() -> inversion.Problem:
    return inversion.pose(terrain.regrid(terrain.jacksboro(), (24, 24)))


def test_the_gradient_of_the_misfit(problem: inversion.Problem) -> None:
    """Against a central difference along a random direction."""
    shape = problem.ground.shape
    rng = np.random.default_rng(0)
    sources, f0 = inversion.place_sources(shape, rng)[:2], 0.5
    recorded = problem.record(problem.ground.velocity, sources, f0)
    base = problem.unknown_of(np.full(shape, np.median(problem.ground.velocity)))
    smooth = tuple(inversion.smoother(n, 2.0) for n in shape)
    direction = rng.normal(size=shape).astype(np.float32)

    @wengert.jit
    def misfit(change: Any) -> Any:
        return problem.misfit(change, base, smooth, (sources, recorded), f0)[0]

    slope = float(wnp.sum(wengert.grad(misfit)(wnp.zeros(shape)) * direction))
    h = 0.02
    difference = float(misfit(h * direction) - misfit(-h * direction)) / (2 * h)
    assert slope == pytest.approx(difference, rel=2e-2)


def test_the_inversion_recovers_the_ground(problem: inversion.Problem) -> None:
    reports: list[tuple[float, float, float]] = []
    found = inversion.invert(problem, 45, 0, lambda *report: reports.append(report))
    assert [report[1] for report in reports] == found.misfits
    assert len(found.misfits) == len(found.errors) == 45
    assert [first for first, _ in found.stages] == [0, 15, 30]
    truth = problem.ground.velocity
    before, after = (np.sqrt(np.mean((v - truth) ** 2)) for v in (found.start, found.velocity))
    assert after < 0.55 * before
    assert found.misfits[14] < 0.3 * found.misfits[0]
    assert problem.slowest < found.velocity.min() < found.velocity.max() < problem.fastest


def test_batches_use_every_shot() -> None:
    chosen = inversion.batches(16, 9, np.random.default_rng(0))
    assert [len(batch) for batch in chosen] == [4] * 9
    assert sorted(np.concatenate(chosen[:4])) == sorted(np.concatenate(chosen[4:8])) == list(range(16))


SMALL = ["demo", "wave", "--steps", "30", "--iterations", "4"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_demo_on_a_small_grid(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--grid", "24", "20"]) == 0
    output = capsys.readouterr().out
    for text in [
        "24 x 20 points",
        "elevation",
        "not a geological model",
        "NumPy, Python loop",
        "Wengert, eager",
        "Wengert, jitted",
        "The results agree to",
        "r.m.s. error went from",
        "Gardner",
    ]:
        assert text in output
    pictures = sorted(path.name for path in (here / "wave-demo").iterdir())
    assert pictures == ["loss.png", "velocities.png", "waves.png"]
    for name in pictures:
        pixels = matplotlib.image.imread(here / "wave-demo" / name)
        assert pixels.shape[0] > 600
        assert pixels.shape[1] > 800
        assert pixels[..., :3].std() > 0.1
        assert f"wave-demo/{name}" in output


def test_the_demo_on_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    velocity = np.full((20, 16), 1500)
    velocity[8:12, 5:9] = 2500
    np.save("block.npy", velocity)
    options = ["--velocity", "block.npy", "--spacing", "12.5", "--output", "deep/er", "--quiet"]
    assert main([*SMALL, *options]) == 0
    captured = capsys.readouterr()
    assert captured.out.split() == [f"deep/er/{name}.png" for name in ("waves", "velocities", "loss")]
    assert captured.err == ""


def test_a_uniform_file_and_one_iteration(here: Path) -> None:
    np.save("uniform.npy", np.full((16, 16), 3000.0))
    assert (
        main(["demo", "wave", "--velocity", "uniform.npy", "--steps", "3", "--iterations", "1", "--quiet"])
        == 0
    )


def poor(name: str, values: Any) -> None:
    np.save(name, values, allow_pickle=True)


BAD = {
    "--velocity nowhere.npy": "there is no velocity file nowhere.npy",
    "--velocity .": "is a folder",
    "--velocity text.npy": "cannot read text.npy as an .npy file",
    "--velocity empty.npy": "cannot read empty.npy as an .npy file",
    "--velocity archive.npz": "is an archive of arrays",
    "--velocity one.npy": "must be 2-D (NX, NY); it has shape (9,)",
    "--velocity complex.npy": "must be real numbers in m/s; its dtype is complex128",
    "--velocity text_array.npy": "must be real numbers in m/s",
    "--velocity objects.npy": "cannot read objects.npy",
    "--velocity nan.npy": "1 of 400 are not, the first at (3, 4): nan",
    "--velocity inf.npy": "the first at (3, 4): inf",
    "--velocity zero.npy": "the first at (3, 4): 0.0",
    "--velocity thin.npy": "16 to 2000 points a side; it has 3 x 40 (--grid N resamples it)",
    "--velocity good.npy --spacing -5": "argument --spacing: invalid positive number value: '-5'",
    "--grid 4": "16 to 2000 points a side; it has 4 x 4",
    "--grid 3000": "16 to 2000 points a side; it has 3000 x 3000",
    "--grid 20 20 20": "--grid takes one or two numbers, not 3",
    "--grid 2.5": "invalid positive whole number value: '2.5'",
    "--grid 20 --dt 10": "unstable: by the CFL condition it may be at most",
    "--grid 20 --dt nan": "argument --dt: invalid positive number value: 'nan'",
    "--grid 20 --frequency 40": "40 Hz is too high for this grid",
    "--grid 2000 --steps 5000": "5000 steps of 2000 x 2000 points would need 80.0 GB",
    "--steps 0": "argument --steps: invalid positive whole number value: '0'",
    "--iterations -3": "argument --iterations: invalid positive whole number value: '-3'",
    "--grid 20 --output text.npy": "cannot write into the output folder text.npy",
    "--grid 20 --output text.npy/below": "cannot write into the output folder",
    "--nonsense": "unrecognized arguments: --nonsense",
}


@pytest.mark.parametrize("arguments", BAD)
def test_bad_input_gives_one_line(arguments: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "text.npy").write_text("not an array\n")
    (here / "empty.npy").write_bytes(b"")
    np.savez("archive.npz", a=np.ones((20, 20)))
    good = np.full((20, 20), 3000.0)
    for name, value in {"nan": np.nan, "inf": np.inf, "zero": 0.0}.items():
        velocity = good.copy()
        velocity[3, 4] = value
        np.save(f"{name}.npy", velocity)
    np.save("good.npy", good)
    np.save("one.npy", good[0, :9])
    np.save("complex.npy", good.astype(complex))
    np.save("text_array.npy", np.full((20, 20), "fast"))
    poor("objects.npy", np.full((20, 20), None))
    np.save("thin.npy", np.ones((3, 40)))
    files = sorted(path.name for path in here.iterdir())
    try:
        code: Any = main(["demo", "wave", *arguments.split()])
    except SystemExit as leaving:  # as argparse does
        code = leaving.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.startswith("wengert")
    assert ": error: " in captured.err
    assert BAD[arguments] in captured.err
    assert captured.err.count("\n") == 1
    assert sorted(path.name for path in here.iterdir()) == files


def test_missing_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(common, "find_spec", lambda name: None if name == "tqdm" else name)
    assert main(SMALL) == 2
    expected = 'wengert: error: this needs tqdm; install with: pip install "wengert[demos]"\n'
    assert capsys.readouterr().err == expected


def test_differing_results_are_an_error(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    race = timing.race
    monkeypatch.setattr(timing, "race", lambda *args: race(*args)._replace(difference=math.nan))
    assert main([*SMALL, "--grid", "16", "--quiet"]) == 1
    assert "the results differ" in capsys.readouterr().err


def test_an_interrupt_leaves_quietly(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(timing, "race", interrupt)
    assert main([*SMALL, "--grid", "16"]) == 130
    assert capsys.readouterr().err == "wengert: interrupted\n"


def test_time_of_shortened_loops_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "LOOP_WORK", 16 * 16 * 5)
    ground = terrain.regrid(terrain.jacksboro(), (16, 16))
    shot = timing.Shot((8, 8), 0.1, 20, 0.8 * largest_stable_step(ground.velocity, *ground.spacing))
    result = timing.race(ground, shot, lambda xs, desc: xs)
    assert [t.measured_steps for t in result.timings] == [5, 5, 20]
    assert "(timed over 5 steps, scaled to 20)" in timing.table(result, 20)
    assert result.wavefields.shape == (20, 16, 16)
    assert result.difference < 1e-4


def test_the_version_and_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, text in [(["--version"], wengert.__version__), (["demo", "wave", "--help"], "--velocity")]:
        with pytest.raises(SystemExit, match="0"):
            main(arguments)
        assert text in capsys.readouterr().out
