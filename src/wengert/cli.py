"""The command ``wengert``: ``wengert demo NAME``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import wengert
from wengert.demos import regression, transforms
from wengert.demos.common import BadInput
from wengert.demos.wave import command as wave


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong with the options in one line, and where to read more."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """The options of all commands."""
    parser = OneLineParser(
        prog="wengert", description="Array programs, differentiated, vectorised and compiled."
    )
    parser.add_argument("--version", action="version", version=f"wengert {wengert.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    demo = commands.add_parser("demo", help="run a demonstration")
    demos = demo.add_subparsers(metavar="NAME", required=True)
    modules: dict[str, Any] = {"wave": wave, "regression": regression, "transforms": transforms}
    for name, module in modules.items():
        options = demos.add_parser(name, help=module.SUMMARY)
        module.add_options(options)
        options.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (the process's own by default). Returns the exit code.

    Bad input gives one line on standard error and 2; an interrupt gives 130.
    """
    options = make_parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BadInput as error:
        print(f"wengert: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("wengert: interrupted", file=sys.stderr)
        return 130
