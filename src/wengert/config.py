"""Settings: one frozen `Config`, in force for this thread and context.

A flag is set in one of three ways, the later in this list wins:

* the environment, read at import: `WENGERT_ENABLE_X64=1` (`JAX_ENABLE_X64` is understood too);
* `config.update("jax_enable_x64", True)`, for the whole process and every thread, at once;
* a context manager, `with enable_x64(True): ...`, for the code inside it only.

Two flags of JAX's are kept and change no results: `default_matmul_precision`, as products are always as exact as
the dtype allows, and `softmax_custom_jvp`, as the derivative of softmax is stable anyway. Those that steer XLA or
other devices (`_WITHOUT_EFFECT` below) can be set and read, too.

`check_memory` is ours: compiled programs run in memory with guards around it, slowly, and a write or a read out of
bounds is an error (`runtime/guard.py` says how). It looks for defects of the compiler, not of programs.

The rest of the package reads a flag by `current().enable_x64`, which costs a context variable's look-up.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final

from wengert._lazy import lazy_module

difflib = lazy_module("difflib")

MATMUL_PRECISIONS: Final = (
    "default", "high", "highest", "bfloat16", "tensorfloat32", "float32",
    "ANY_F8_ANY_F8_F32", "ANY_F8_ANY_F8_F32_FAST_ACCUM", "ANY_F8_ANY_F8_ANY", "ANY_F8_ANY_F8_ANY_FAST_ACCUM",
    "F16_F16_F16", "F16_F16_F32", "BF16_BF16_BF16", "BF16_BF16_F32", "BF16_BF16_F32_X3", "BF16_BF16_F32_X6",
    "BF16_BF16_F32_X9", "TF32_TF32_F32", "TF32_TF32_F32_X3", "F32_F32_F32", "F64_F64_F64",
)  # fmt: skip

_TRUE: Final = ("1", "true", "t", "yes", "y", "on")
_FALSE: Final = ("0", "false", "f", "no", "n", "off")


def _boolean(name: str, value: Any) -> bool:
    if isinstance(value, str):
        if value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
    elif isinstance(value, int) or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise ValueError(f"the flag {name} is True or False, got {value!r}")


def _count(name: str, value: Any) -> int | None:
    if value is None or value == "":
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise ValueError(f"the flag {name} is a positive number, or None for the default, got {value!r}")
    return number


def _device_count(name: str, value: Any) -> int:
    """A positive number, or -1 for the default."""
    return -1 if str(value) == "-1" else _count(name, value) or -1


def _anything(name: str, value: Any) -> Any:
    return value


def _one_of(*choices: str | None) -> Callable[[str, Any], str | None]:
    def parse(name: str, value: Any) -> str | None:
        if value == "" and None in choices:
            return None
        if value not in choices:
            raise ValueError(f"the flag {name} is one of {', '.join(map(repr, choices))}, got {value!r}")
        chosen: str | None = value
        return chosen

    return parse


class Config:
    """The value of every flag. Frozen; `current()` gives the one in force."""

    __slots__ = (
        "check_memory", "check_tracer_leaks", "compilation_cache", "compilation_cache_dir", "debug_infs",
        "debug_key_reuse", "debug_nans", "default_device", "default_matmul_precision", "default_prng_impl",
        "disable_jit", "enable_checks", "enable_custom_prng", "enable_x64", "explain_cache_misses", "legacy_prng_key",
        "log_compiles", "no_execution", "no_tracing", "num_cpu_devices", "num_threads", "numpy_dtype_promotion",
        "numpy_rank_promotion", "preload_compiler", "random_seed_offset", "softmax_custom_jvp",
        "threefry_partitionable", "trace_key", "traceback_filtering", "user_context", "watched",
    )  # fmt: skip

    check_memory: bool
    check_tracer_leaks: bool
    compilation_cache: bool
    compilation_cache_dir: str | None
    debug_infs: bool
    debug_key_reuse: bool
    debug_nans: bool
    default_device: Any
    default_matmul_precision: str | None
    default_prng_impl: str
    disable_jit: bool
    enable_checks: bool
    enable_custom_prng: bool
    enable_x64: bool
    explain_cache_misses: bool
    legacy_prng_key: str
    log_compiles: bool
    no_execution: bool
    no_tracing: bool
    num_cpu_devices: int
    num_threads: int | None
    numpy_dtype_promotion: str
    numpy_rank_promotion: str
    preload_compiler: bool
    random_seed_offset: int
    softmax_custom_jvp: bool
    threefry_partitionable: bool
    traceback_filtering: str
    user_context: tuple[tuple[int, Any], ...]
    trace_key: int
    """Equal for two configs exactly if a function traced under one is valid under the other."""
    watched: bool
    """Whether operations are checked as they run: `debug_nans`, `debug_infs`, `debug_key_reuse` or `no_execution`."""

    def __init__(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)
        key = tuple([values[name] for name in _IN_TRACE_KEY])
        watched = any(
            values[name] for name in ("debug_nans", "debug_infs", "debug_key_reuse", "no_execution")
        )
        object.__setattr__(self, "watched", watched)
        object.__setattr__(self, "trace_key", _trace_keys.setdefault(key, next(_trace_key_numbers)))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"a Config is frozen: set the flag {name} by config.update({name!r}, {value!r})"
            f" or by `with {name}({value!r}):`"
        )

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={getattr(self, name)!r}' for name in _FLAGS)})"


# Keys are numbered in the order they appear: an int is hashed and compared faster than a tuple of flags.
_trace_keys: dict[tuple[Any, ...], int] = {}
_trace_key_numbers = itertools.count()

# name: (default, parser)
_FLAGS: Final[dict[str, tuple[Any, Callable[[str, Any], Any]]]] = {
    "check_memory": (False, _boolean),
    "check_tracer_leaks": (False, _boolean),
    "compilation_cache": (True, _boolean),
    "compilation_cache_dir": (None, _anything),
    "debug_infs": (False, _boolean),
    "debug_key_reuse": (False, _boolean),
    "debug_nans": (False, _boolean),
    "default_device": (None, _anything),
    "default_matmul_precision": (None, _one_of(None, *MATMUL_PRECISIONS)),
    "default_prng_impl": ("threefry2x32", _one_of("threefry2x32", "rbg", "unsafe_rbg")),
    "disable_jit": (False, _boolean),
    "enable_checks": (False, _boolean),
    "enable_custom_prng": (False, _boolean),
    "enable_x64": (False, _boolean),
    "explain_cache_misses": (False, _boolean),
    "legacy_prng_key": ("allow", _one_of("allow", "warn", "error")),
    "log_compiles": (False, _boolean),
    "no_execution": (False, _boolean),
    "no_tracing": (False, _boolean),
    "num_cpu_devices": (-1, _device_count),
    "num_threads": (None, _count),
    "numpy_dtype_promotion": ("standard", _one_of("standard", "strict")),
    "numpy_rank_promotion": ("allow", _one_of("allow", "warn", "raise")),
    "preload_compiler": (True, _boolean),
    "random_seed_offset": (0, lambda name, value: int(value)),
    "softmax_custom_jvp": (False, _boolean),
    "threefry_partitionable": (True, _boolean),
    "traceback_filtering": (
        "auto",
        _one_of("auto", "off", "full", "tracebackhide", "remove_frames", "quiet_remove_frames"),
    ),
    "user_context": ((), _anything),  # the values of `make_user_context`
}

_IN_TRACE_KEY: Final = (
    "enable_x64", "numpy_rank_promotion", "numpy_dtype_promotion", "debug_nans", "debug_infs", "disable_jit",
    "threefry_partitionable", "default_prng_impl", "default_matmul_precision", "enable_custom_prng",
    "legacy_prng_key", "check_tracer_leaks", "debug_key_reuse", "default_device", "random_seed_offset",
    "softmax_custom_jvp", "no_tracing", "no_execution", "enable_checks",
    "check_memory", "user_context",
)  # fmt: skip

_OTHER_NAMES: Final = {"enable_compilation_cache": "compilation_cache"}

# Options of JAX that steer XLA, other devices or clusters of machines. A program may set them; there is
# nothing here that they could change, so the value is only kept for reading back.
_WITHOUT_EFFECT: Final = frozenset((
    "allow_f16_reductions", "array_garbage_collection_guard", "auto_pcast", "bcoo_cusparse_lowering",
    "captured_constants_report_frames", "captured_constants_warn_bytes", "check_proxy_envs",
    "compilation_cache_check_contents", "compilation_cache_include_metadata_in_key",
    "compilation_cache_max_size", "compiler_enable_remat_pass", "cpu_collectives_implementation",
    "cpu_enable_async_dispatch", "cuda_visible_devices", "debug_log_modules", "disable_most_optimizations",
    "distributed_debug", "dump_ir_to", "eager_constant_folding", "enable_pgle",
    "experimental_unsafe_xla_runtime_errors", "include_full_tracebacks_in_locations",
    "jax2tf_associative_scan_reductions", "log_checkpoint_residuals", "logging_level",
    "memory_fitting_level", "mock_gpu_topology", "oneapi_visible_devices",
    "optimization_level", "persistent_cache_enable_xla_caches", "persistent_cache_min_compile_time_secs",
    "persistent_cache_min_entry_size_bytes", "platform_name", "platforms", "pprint_use_color",
    "raise_persistent_cache_errors", "remove_size_one_mesh_axis_from_type", "rocm_visible_devices",
    "share_binary_between_hosts", "thread_guard", "threefry_gpu_kernel_lowering",
    "traceback_in_locations_limit", "tracer_error_num_traceback_frames", "transfer_guard",
    "transfer_guard_device_to_device", "transfer_guard_device_to_host", "transfer_guard_host_to_device",
    "use_direct_linearize", "use_magma", "use_shardy_partitioner", "use_simplified_jaxpr_constants",
    "xla_backend", "xla_profile_version",
))  # fmt: skip
_ineffective: dict[str, Any] = {}


def _known_name(name: str) -> str:
    """The flag's own name for `name`, which may have the prefix `jax_`. AttributeError if there is none."""
    bare = name.removeprefix("jax_")
    bare = _OTHER_NAMES.get(bare, bare)
    if bare in _FLAGS or bare in _WITHOUT_EFFECT:
        return bare
    if name in _WITHOUT_EFFECT:
        return name
    close = difflib.get_close_matches(bare, [*_FLAGS, *_OTHER_NAMES, *_WITHOUT_EFFECT])
    hint = f"; did you mean {' or '.join('jax_' + other for other in close)}?" if close else ""
    raise AttributeError(f"Unrecognized config option: {name}{hint}")


def _from_environment() -> Config:
    values = {name: default for name, (default, _) in _FLAGS.items()}
    for prefix in ("JAX_", "WENGERT_"):  # the second overrides the first
        for variable in [key for key in os.environ if key.startswith(prefix)]:
            name = variable[len(prefix) :].lower()
            name = _OTHER_NAMES.get(name, name)
            if name in _FLAGS:
                try:
                    values[name] = _FLAGS[name][1](name, os.environ[variable])
                except ValueError as error:
                    raise ValueError(f"environment variable {variable}: {error}") from None
    return Config(values)


def _changed(base: Config, changes: dict[str, Any]) -> Config:
    return Config({name: changes[name] if name in changes else getattr(base, name) for name in _FLAGS})


class _Local:
    """What context managers have set here, and the Config that results over a given global one."""

    __slots__ = ("base", "changes", "resolved")

    def __init__(self, base: Config, changes: dict[str, Any]) -> None:
        self.base = base
        self.changes = changes
        self.resolved = _changed(base, changes)


_updating = threading.Lock()


def _after_fork() -> None:
    global _updating
    _updating = threading.Lock()  # the thread that had it is not here


os.register_at_fork(after_in_child=_after_fork)
_global: Config = _from_environment()
_local: ContextVar[_Local | None] = ContextVar("wengert_config", default=None)
_get_local = _local.get


def current() -> Config:
    """The settings in force in this thread and context."""
    local = _get_local()
    if local is None:
        return _global
    if local.base is not _global:  # config.update was called inside the context manager
        local = _Local(_global, local.changes)
        _local.set(local)
    return local.resolved


class _Override(contextlib.ContextDecorator):
    """Sets one flag inside a `with` block, or during the calls of the function that it decorates."""

    __slots__ = ("_name", "_previous", "_value")

    def __init__(self, name: str, value: Any) -> None:
        self._name = name
        self._value = value
        self._previous: list[_Local | None] = []

    def _recreate_cm(self) -> _Override:
        return _Override(self._name, self._value)

    def __enter__(self) -> None:
        previous = _get_local()
        self._previous.append(previous)
        changes = {self._name: self._value}
        _local.set(_Local(_global, changes if previous is None else {**previous.changes, **changes}))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _local.set(self._previous.pop())


class _IneffectiveOverride(contextlib.ContextDecorator):
    """The same for an option that has nothing to change here."""

    def __init__(self, name: str, value: Any) -> None:
        self._name = name
        self._value = value

    def __enter__(self) -> None:
        self._previous = _ineffective.get(self._name)
        _ineffective[self._name] = self._value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _ineffective[self._name] = self._previous


_NOT_GIVEN: Final[Any] = object()


class Flag:
    """A flag as a context manager: `with enable_x64(True): ...`. Called without a value it means True."""

    __slots__ = ("_bare", "_name")

    def __init__(self, name: str) -> None:
        self._bare = name
        self._name = f"jax_{name}"

    @property
    def name(self) -> str:
        """The flag's name for `config.update`."""
        return self._name

    @property
    def value(self) -> Any:
        """The flag's value in this thread and context."""
        return config.read(self._bare)

    def __call__(self, new_val: Any = _NOT_GIVEN) -> contextlib.ContextDecorator:
        """Set the flag to `new_val` inside a `with` block or a decorated function.

        Raises:
          TypeError: no value is given for a flag that is not boolean.
          ValueError: the flag can't have this value.
        """
        if self._bare in _WITHOUT_EFFECT:
            return _IneffectiveOverride(self._bare, True if new_val is _NOT_GIVEN else new_val)
        parse = _FLAGS[self._bare][1]
        if new_val is _NOT_GIVEN:
            if parse is not _boolean:
                raise TypeError(f"the flag {self._bare} needs a value: with {self._bare}(value): ...")
            new_val = True
        return _Override(self._bare, parse(self._bare, new_val))

    def __repr__(self) -> str:
        return f"<flag {self._name}={self.value!r}>"

    def __bool__(self) -> bool:
        raise TypeError(
            f"a flag has no truth value: read it by config.{self._name}, or by {self._bare}.value"
        )


class _ConfigHandle:
    """`wengert.config`: reads flags as attributes, sets them for the whole process by `update`."""

    __slots__ = ()
    # `wengert.config` names this handle once the package is imported, and the rest of the package asks it
    current = staticmethod(current)

    def update(self, name: str, val: Any) -> None:
        """Set a flag for the whole process; a context manager that is open still overrides it.

        Raises:
          AttributeError: there is no such flag.
          ValueError: the flag can't have this value.
        """
        global _global
        bare = _known_name(name)
        if bare in _WITHOUT_EFFECT:
            _ineffective[bare] = val
        else:
            changes = {bare: _FLAGS[bare][1](name, val)}
            with _updating:  # two threads may set two flags at once
                _global = _changed(_global, changes)

    def read(self, name: str) -> Any:
        """The value of the flag `name` in this thread and context. AttributeError if there is none."""
        bare = _known_name(name)
        return _ineffective.get(bare) if bare in _WITHOUT_EFFECT else getattr(current(), bare)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.read(name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"set a flag by config.update({name!r}, {value!r}), not by assignment")

    @property
    def values(self) -> dict[str, Any]:
        """Every flag that has an effect, by its full name."""
        now = current()
        return {f"jax_{name}": getattr(now, name) for name in _FLAGS}

    def __dir__(self) -> list[str]:
        return ["read", "update", "values", *(f"jax_{name}" for name in (*_FLAGS, *_WITHOUT_EFFECT))]

    def __repr__(self) -> str:
        return f"<config: {', '.join(f'{name}={value!r}' for name, value in self.values.items())}>"


config = _ConfigHandle()

allow_f16_reductions = Flag("allow_f16_reductions")
array_garbage_collection_guard = Flag("array_garbage_collection_guard")
auto_pcast = Flag("auto_pcast")
check_memory = Flag("check_memory")
check_tracer_leaks = Flag("check_tracer_leaks")
debug_infs = Flag("debug_infs")
debug_key_reuse = Flag("debug_key_reuse")
debug_nans = Flag("debug_nans")
default_device = Flag("default_device")
default_matmul_precision = Flag("default_matmul_precision")
default_prng_impl = Flag("default_prng_impl")
enable_checks = Flag("enable_checks")
enable_custom_prng = Flag("enable_custom_prng")
enable_x64 = Flag("enable_x64")
explain_cache_misses = Flag("explain_cache_misses")
jax2tf_associative_scan_reductions = Flag("jax2tf_associative_scan_reductions")
legacy_prng_key = Flag("legacy_prng_key")
log_compiles = Flag("log_compiles")
no_execution = Flag("no_execution")
no_tracing = Flag("no_tracing")
num_threads = Flag("num_threads")
numpy_dtype_promotion = Flag("numpy_dtype_promotion")
numpy_rank_promotion = Flag("numpy_rank_promotion")
remove_size_one_mesh_axis_from_type = Flag("remove_size_one_mesh_axis_from_type")
softmax_custom_jvp = Flag("softmax_custom_jvp")
thread_guard = Flag("thread_guard")
threefry_partitionable = Flag("threefry_partitionable")
transfer_guard = Flag("transfer_guard")
transfer_guard_device_to_device = Flag("transfer_guard_device_to_device")
transfer_guard_device_to_host = Flag("transfer_guard_device_to_host")
transfer_guard_host_to_device = Flag("transfer_guard_host_to_device")


def disable_jit(disable: bool = True) -> contextlib.ContextDecorator:
    """Inside the `with` block, `jit` calls the Python function itself, so that it can be stepped through."""
    return _Override("disable_jit", _boolean("disable_jit", disable))
