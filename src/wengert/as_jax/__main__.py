"""``python -m wengert.as_jax script.py [args]``: run a program written for JAX on Wengert."""

from __future__ import annotations

import os
import runpy
import sys
from types import ModuleType

from wengert.as_jax import install

USAGE = """\
usage: python -m wengert.as_jax script.py [args]
       python -m wengert.as_jax -m module [args]
       python -m wengert.as_jax -c code [args]

Runs a program as python does, except that `import jax` gives Wengert."""


def main(arguments: list[str]) -> int:
    """Run the program that ``arguments`` name. Returns the exit code for what could not be started."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    kind, *rest = arguments
    if kind in ("-m", "-c") and not rest:
        print(f"wengert.as_jax: {kind} needs an argument\n{USAGE}", file=sys.stderr)
        return 2
    if kind.startswith("-") and kind not in ("-m", "-c"):
        print(f"wengert.as_jax: unknown option {kind}\n{USAGE}", file=sys.stderr)
        return 2
    install()
    if kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        run_code(rest[0], rest[1:])
    else:
        return run_script(kind, arguments)
    return 0


def run_code(code: str, arguments: list[str]) -> None:
    """Run ``code`` as the main module, as ``python -c`` does."""
    sys.argv = ["-c", *arguments]
    sys.path[0] = ""
    module = sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(code, "<string>", "exec"), module.__dict__)


def run_script(path: str, argv: list[str]) -> int:
    """Run the script at ``path`` as the main module, with its folder first on the path."""
    if not os.path.exists(path):
        print(f"wengert.as_jax: there is no file {path}", file=sys.stderr)
        return 2
    sys.argv = argv
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    runpy.run_path(path, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
