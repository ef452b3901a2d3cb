"""The house rules that can be read off the source: layers, cycles, late imports, lengths."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"

# Lowest first. A module that stands in none of these is public API (numpy, lax, random, nn, ...).
LAYERS = [
    "_lazy",
    "version",
    "errors",
    "config",
    "treedef",
    "tree",
    "treecode",
    "core",
    "prims",
    "transforms",
]
LAYERS += ["compiler", "backends", "runtime"]
ABOVE = ["as_jax", "demos", "cli", "__main__"]
PUBLIC = len(LAYERS)
# Primitives that hold programs: their rules transform them, so they stand among the transformations. So do those that
# are programs with loops when they are compiled.
HOLD_PROGRAMS = {
    f"wengert.prims.{name}"
    for name in (
        "call",
        "composite",
        "cond",
        "control",
        "custom",
        "custom_vmap",
        "linear_solve",
        "rejection",
        "sampling",
        "scan",
        "vector_special",
        "while_loop",
    )
}

OPTIONAL = {"matplotlib", "tqdm"}
DEPENDENCIES = {"numpy", "scipy", "llvmlite", "ml_dtypes", "opt_einsum"}

FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
LONGEST_FILE = 1000
LONGEST_FUNCTION = 70


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(SRC.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}
FOLDERS = ("src", "tests", "benchmarks", "examples")
WRITTEN = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def layer(module: str) -> int:
    """The height of a module's layer; the package itself belongs to the public API."""
    parts = module.split(".")
    if len(parts) == 1:
        return PUBLIC
    if module in HOLD_PROGRAMS:
        return LAYERS.index("transforms")
    if parts[1] in LAYERS:
        return LAYERS.index(parts[1])
    return PUBLIC + 1 + ABOVE.index(parts[1]) if parts[1] in ABOVE else PUBLIC


def absolute(module: str, node: ast.ImportFrom) -> str:
    """What a possibly relative `from ... import` names."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    is_package = SOURCES[module].name == "__init__.py"
    base = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*base, node.module] if node.module else base)


def imported(module: str, node: ast.AST) -> Iterator[str]:
    """The modules that one node imports, lazily or not; empty for any other node."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = absolute(module, node)
        for alias in node.names:
            yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in SOURCES else base
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
        called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        argument = node.args[0] if node.args else None
        if called.lstrip("_") in ("lazy_module", "import_module", "import__") and isinstance(
            argument, ast.Constant
        ):
            yield str(argument.value)


def imports(module: str, tree: ast.AST) -> set[str]:
    return {name for node in ast.walk(tree) for name in imported(module, node)}


def is_for_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def running_imports(module: str, tree: ast.Module) -> set[str]:
    """The imports that happen when the program runs; those for the type checker alone are left out."""
    return {name for node in tree.body if not is_for_typing(node) for name in imports(module, node)}


GRAPH = {module: imports(module, tree) & SOURCES.keys() - {module} for module, tree in TREES.items()}
RUNNING = {module: running_imports(module, tree) & GRAPH[module] for module, tree in TREES.items()}


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_the_source_was_found() -> None:
    assert {"wengert", "wengert.errors", "wengert.core.jaxpr"} <= set(SOURCES)
    assert any(GRAPH.values())


@pytest.mark.parametrize("module", SOURCES)
def test_imports_come_from_the_same_layer_or_a_lower_one(module: str) -> None:
    upward = sorted(name for name in GRAPH[module] if layer(name) > layer(module))
    assert not upward, f"{module} imports from a higher layer: {upward}"


def test_no_import_cycles() -> None:
    try:
        TopologicalSorter(RUNNING).prepare()
    except CycleError as error:
        pytest.fail("these modules import each other: " + " <- ".join(error.args[1]))


def test_no_imports_inside_functions() -> None:
    late = []
    for module, tree in TREES.items():
        functions = [node for node in ast.walk(tree) if isinstance(node, FUNCTION | ast.Lambda)]
        for node in {node for function in functions for node in ast.walk(function)}:
            for name in imported(module, node):
                if name.split(".")[0] not in OPTIONAL:
                    late.append(f"{where(SOURCES[module], node.lineno)} imports {name}")  # type: ignore[attr-defined]
    assert not late, "\n".join(sorted(late))


def test_only_declared_packages_are_imported() -> None:
    allowed = sys.stdlib_module_names | DEPENDENCIES | OPTIONAL | {"wengert"}
    foreign = [
        f"{module} imports {name}"
        for module, tree in TREES.items()
        for name in imports(module, tree)
        if name.split(".")[0] not in allowed
    ]
    assert not foreign, "\n".join(sorted(foreign))


def test_files_are_short() -> None:
    lengths = {path: path.read_text(encoding="utf-8").count("\n") for path in WRITTEN}
    long = [f"{path.relative_to(ROOT)}: {n} lines" for path, n in lengths.items() if n >= LONGEST_FILE]
    assert not long, "\n".join(long)


def test_functions_are_short() -> None:
    long = []
    for path in WRITTEN:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, FUNCTION):
                lines = (node.end_lineno or node.lineno) - node.lineno
                if lines > LONGEST_FUNCTION:
                    long.append(f"{where(path, node.lineno)} {node.name}: {lines} lines")
    assert not long, "\n".join(long)


def test_annotations_are_not_evaluated() -> None:
    """Without this import every annotation is built at start-up, and names in it must exist by then."""
    lacking = []
    for module, tree in TREES.items():
        annotated = any(isinstance(node, FUNCTION | ast.AnnAssign) for node in ast.walk(tree))
        futures = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
        if annotated and not futures:
            lacking.append(str(SOURCES[module].relative_to(ROOT)))
    assert not lacking, "\n".join(lacking)


def test_nothing_names_a_place_on_one_machine() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *sorted((ROOT / "docs").rglob("*.md"))]
    private = [f"{Path.home()}/", f"{ROOT}/"]
    found = [
        f"{path.relative_to(ROOT)} mentions {place}"
        for path in [*WRITTEN, *pages]
        for place in private
        if place in path.read_text(encoding="utf-8")
    ]
    assert not found, "\n".join(found)
