"""The command line of ``wengert demo wave``."""

from __future__ import annotations

import argparse
import sys
import textwrap
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import wengert
from wengert._lazy import lazy_module
from wengert.demos.common import BadInput, positive, require_packages, writable
from wengert.demos.wave import inversion, pictures, timing
from wengert.demos.wave.physics import largest_stable_step
from wengert.demos.wave.terrain import MAPPING, Ground, from_file, jacksboro, regrid
from wengert.demos.wave.timing import Shot

tqdm = lazy_module("tqdm")

SUMMARY = "send a wave through real terrain, time it, and recover the terrain from the recorded waves"
SMALLEST, LARGEST = 16, 2000  # grid points a side
LARGEST_RECORD = 4e9  # bytes of pressure kept by a simulation
COURANT = 0.8  # time step, as a part of the largest stable one
WAVELENGTH = 10.0  # grid points in the dominant wavelength of the slowest ground
SHORTEST_WAVELENGTH = 4.0  # below this many grid points the waves are not even roughly right


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the demonstration."""
    parser.description = textwrap.fill(
        f"{SUMMARY[0].upper()}{SUMMARY[1:]}. Without --velocity the ground is the elevation model that "
        f"Matplotlib ships (Jacksboro fault, Tennessee); {MAPPING}",
        100,
    )
    count, number = positive(int), positive(float)
    add = parser.add_argument
    add(
        "--velocity",
        type=Path,
        metavar="FILE.npy",
        help="velocities in m/s, 2-D: axis 0 points east, axis 1 north",
    )
    add("--spacing", type=number, default=25.0, metavar="M", help="m between the points of --velocity (25)")
    add("--grid", type=count, nargs="+", metavar="N", help="grid points a side, or NX NY (300)")
    add("--steps", type=count, default=500, metavar="N", help="time steps of the simulation (500)")
    add("--dt", type=number, metavar="S", help="time step in s (0.8 of the largest stable one)")
    add(
        "--frequency",
        type=number,
        metavar="HZ",
        help="dominant frequency of the source (10 points a wavelength)",
    )
    add("--iterations", type=count, default=120, metavar="N", help="iterations of the inversion (120)")
    add("--seed", type=int, default=0, metavar="N", help="seed for the places and the order of the shots (0)")
    add(
        "--output",
        type=Path,
        default=Path("wave-demo"),
        metavar="FOLDER",
        help="where pictures go (wave-demo)",
    )
    add("--quiet", action="store_true", help="print only where the pictures are")


def read_ground(options: argparse.Namespace) -> Ground:
    """The ground that the options name, on the grid that they ask for."""
    grid = options.grid or []
    if len(grid) > 2:
        raise BadInput(f"--grid takes one or two numbers, not {len(grid)}")
    ground = jacksboro() if options.velocity is None else from_file(options.velocity, options.spacing)
    default = ground.shape if options.velocity is not None else (300, 300)
    shape = (grid[0], grid[-1]) if grid else default
    if min(shape) < SMALLEST or max(shape) > LARGEST:
        raise BadInput(
            f"the grid must have {SMALLEST} to {LARGEST} points a side; it has {shape[0]} x {shape[1]}"
            + ("" if grid else " (--grid N resamples it)")
        )
    return regrid(ground, shape)


def plan_shot(ground: Ground, options: argparse.Namespace) -> Shot:
    """The shot in the middle of the ground, checked for stability and for the grid's resolution."""
    limit = largest_stable_step(ground.velocity, *ground.spacing)
    dt = options.dt or COURANT * limit
    if dt > limit:
        raise BadInput(
            f"a time step of {dt:g} s is unstable: by the CFL condition it may be at most {limit:.3g} s on "
            f"this grid (fastest velocity {ground.velocity.max():.0f} m/s); give a smaller --dt"
        )
    slowest, coarsest = float(ground.velocity.min()), max(ground.spacing)
    f0 = options.frequency or slowest / (WAVELENGTH * coarsest)
    highest = slowest / (SHORTEST_WAVELENGTH * coarsest)
    if f0 > highest:
        raise BadInput(
            f"a frequency of {f0:g} Hz is too high for this grid: with {SHORTEST_WAVELENGTH:.0f} points a "
            f"wavelength it may be at most {highest:.3g} Hz; give a lower --frequency or a finer --grid"
        )
    record = 4.0 * options.steps * ground.velocity.size
    if record > LARGEST_RECORD:
        raise BadInput(
            f"{options.steps} steps of {ground.shape[0]} x {ground.shape[1]} points would need "
            f"{record / 1e9:.1f} GB; give fewer --steps or a coarser --grid"
        )
    return Shot((ground.shape[0] // 2, ground.shape[1] // 2), f0, options.steps, dt)


def run(options: argparse.Namespace) -> int:
    """The whole demonstration. Returns the exit code; raises ``BadInput`` for what cannot be simulated."""
    began = time.perf_counter()
    require_packages()
    ground = read_ground(options)
    shot = plan_shot(ground, options)
    problem = inversion.pose(ground)
    folder = writable(options.output)

    say = (lambda *_: None) if options.quiet else print
    say(describe(ground, shot, options.velocity is None))
    say("\nThe same simulation three times:")

    def progress(xs: Any, desc: str) -> Iterable[Any]:
        bar: Iterable[Any] = tqdm.tqdm(xs, desc=desc, leave=False, disable=options.quiet, unit=" steps")
        return bar

    result = timing.race(ground, shot, progress)
    say(timing.table(result, shot.steps))
    if not result.difference <= timing.TOLERANCE:
        print(f"wengert: error: the results differ by {result.difference:.1e}", file=sys.stderr)
        return 1

    found = recover(problem, options, say)
    paths = [
        pictures.draw_waves(ground, shot, result.wavefields, folder / "waves.png"),
        pictures.draw_velocities(found, folder / "velocities.png"),
        pictures.draw_loss(found, folder / "loss.png"),
    ]
    say(f"\nPictures, after {time.perf_counter() - began:.0f} s in all:")
    print("\n".join(f"  {path}" for path in paths))
    return 0


def describe(ground: Ground, shot: Shot, terrain: bool) -> str:
    """What is simulated, in numbers with units."""
    (nx, ny), (dx, dy) = ground.shape, ground.spacing
    slowest, fastest = ground.velocity.min(), ground.velocity.max()
    lines = [
        f"Wengert {wengert.__version__}: waves through {ground.source}",
        f"  ground   {nx} x {ny} points, {dx:.1f} x {dy:.1f} m apart: "
        f"{nx * dx / 1e3:.1f} x {ny * dy / 1e3:.1f} km",
        f"  velocity {slowest:.0f} to {fastest:.0f} m/s",
    ]
    if terrain and ground.elevation is not None:
        low, high = ground.elevation.min(), ground.elevation.max()
        lines[-1] += f", from the elevation ({low:.0f} to {high:.0f} m):"
        lines += textwrap.wrap(MAPPING, 96, initial_indent=" " * 11, subsequent_indent=" " * 11)
    low, high = ground.density.min(), ground.density.max()
    lines += [
        f"  density  {low:.0f} to {high:.0f} kg/m3, by Gardner's relation 310 v^0.25 (Gardner et al., 1974)",
        f"  wave     {shot.f0:.2g} Hz, followed for {shot.steps} steps of {1e3 * shot.dt:.3g} ms, "
        f"{shot.steps * shot.dt:.2f} s in all",
    ]
    return "\n".join(lines)


def recover(problem: inversion.Problem, options: argparse.Namespace, say: Any) -> inversion.Recovery:
    """Run the inversion with a progress bar and say how well it did."""
    (nx, ny), (dx, dy) = problem.ground.shape, problem.ground.spacing
    shots, receivers = inversion.SHOTS_A_SIDE**2, len(inversion.place_receivers(problem.ground.shape))
    say(
        f"\nRecovering the velocity on {nx} x {ny} points, {dx:.0f} x {dy:.0f} m apart, from {shots} shots,\n"
        f"each heard by {receivers} receivers for {problem.steps} steps of {1e3 * problem.dt:.3g} ms "
        "(computed, without noise). Known\nbeforehand: the median velocity, where it starts, and the bounds, "
        f"{problem.slowest:.0f} and {problem.fastest:.0f} m/s."
    )
    with tqdm.tqdm(total=options.iterations, desc="  inverting", disable=options.quiet, unit=" it") as bar:

        def report(f0: float, misfit: float, error: float) -> None:
            bar.set_postfix_str(
                f"{f0:.2f} Hz, misfit {misfit:.4f}, velocity error {error:.0f} m/s", refresh=False
            )
            bar.update()

        found = inversion.invert(problem, options.iterations, options.seed, report)
    before, after = (
        float(((v - problem.ground.velocity) ** 2).mean() ** 0.5) for v in (found.start, found.velocity)
    )
    say(f"  The velocity's r.m.s. error went from {before:.0f} to {after:.0f} m/s.")
    return found
