"""NumPy that can be differentiated, vectorised and compiled, under the names of JAX.

::

    import wengert
    import wengert.numpy as jnp

    @wengert.jit
    def loss(w, x, y):
        return jnp.mean((jnp.tanh(x @ w) - y) ** 2)

    gradient = wengert.grad(loss)
"""

from __future__ import annotations

import importlib
from typing import Any

from wengert import errors as errors, lax as lax, numpy as numpy, tree as tree
from wengert._placement import (
    block_until_ready as block_until_ready,
    copy_to_host_async as copy_to_host_async,
    default_backend as default_backend,
    device_count as device_count,
    device_get as device_get,
    device_put as device_put,
    devices as devices,
    effects_barrier as effects_barrier,
    host_count as host_count,
    host_id as host_id,
    host_ids as host_ids,
    local_device_count as local_device_count,
    local_devices as local_devices,
    print_environment_info as print_environment_info,
    process_count as process_count,
    process_index as process_index,
    process_indices as process_indices,
    typeof as typeof,
)
from wengert._scopes import named_call as named_call, named_scope as named_scope
from wengert.config import (
    allow_f16_reductions as allow_f16_reductions,
    array_garbage_collection_guard as array_garbage_collection_guard,
    auto_pcast as auto_pcast,
    check_tracer_leaks as check_tracer_leaks,
    config as config,  # from here on `wengert.config` is what holds the settings
    debug_infs as debug_infs,
    debug_key_reuse as debug_key_reuse,
    debug_nans as debug_nans,
    default_device as default_device,
    default_matmul_precision as default_matmul_precision,
    default_prng_impl as default_prng_impl,
    disable_jit as disable_jit,
    enable_checks as enable_checks,
    enable_custom_prng as enable_custom_prng,
    enable_x64 as enable_x64,
    explain_cache_misses as explain_cache_misses,
    jax2tf_associative_scan_reductions as jax2tf_associative_scan_reductions,
    legacy_prng_key as legacy_prng_key,
    log_compiles as log_compiles,
    no_execution as no_execution,
    no_tracing as no_tracing,
    numpy_dtype_promotion as numpy_dtype_promotion,
    numpy_rank_promotion as numpy_rank_promotion,
    remove_size_one_mesh_axis_from_type as remove_size_one_mesh_axis_from_type,
    softmax_custom_jvp as softmax_custom_jvp,
    thread_guard as thread_guard,
    threefry_partitionable as threefry_partitionable,
    transfer_guard as transfer_guard,
    transfer_guard_device_to_device as transfer_guard_device_to_device,
    transfer_guard_device_to_host as transfer_guard_device_to_host,
    transfer_guard_host_to_device as transfer_guard_host_to_device,
)
from wengert.core import pretty as _pretty  # noqa: F401  (says how jaxprs print)
from wengert.core.array import ArrayBase
from wengert.core.device import Device as Device
from wengert.core.dtypes import float0 as float0
from wengert.core.folding import ensure_compile_time_eval as ensure_compile_time_eval
from wengert.explain import explain as explain
from wengert.prims.callbacks import pure_callback as pure_callback
from wengert.runtime import late as _late
from wengert.transforms.api_util import ShapeDtypeStruct as ShapeDtypeStruct
from wengert.transforms.checkpoint import (
    checkpoint as checkpoint,
    checkpoint_policies as checkpoint_policies,
    remat as remat,
)
from wengert.transforms.custom_rules import (
    custom_gradient as custom_gradient,
    custom_jvp as custom_jvp,
    custom_vjp as custom_vjp,
)
from wengert.transforms.jacobian import (
    hessian as hessian,
    jacfwd as jacfwd,
    jacobian as jacobian,
    jacrev as jacrev,
)
from wengert.transforms.jit import (
    clear_caches as clear_caches,
    eval_shape as eval_shape,
    jit as jit,
    make_jaxpr as make_jaxpr,
)
from wengert.transforms.vjp import (
    closure_convert as closure_convert,
    fwd_and_bwd as fwd_and_bwd,
    grad as grad,
    jvp as jvp,
    linear_transpose as linear_transpose,
    linearize as linearize,
    value_and_grad as value_and_grad,
    vjp as vjp,
)
from wengert.transforms.vmap import vmap as vmap
from wengert.version import __version__ as __version__

checking_leaks = check_tracer_leaks
# tracers are arrays too: isinstance(x, Array) holds inside of traced functions
Array = ArrayBase
_late.install()
__version_info__ = tuple([int(part) for part in __version__.split(".")])

# Imported when they are first asked for: most programs need few of them.
_SUBMODULES = (
    "ad_checkpoint",
    "custom_batching",
    "custom_derivatives",
    "debug",
    "dlpack",
    "dtypes",
    "example_libraries",
    "experimental",
    "flatten_util",
    "image",
    "monitoring",
    "nn",
    "ops",
    "profiler",
    "random",
    "scipy",
    "sharding",
    "stages",
    "test_util",
    "tree_util",
    "typing",
)


# Names that are found in these modules when they are first asked for.
_LATE = {
    "NamedSharding": "wengert.core.mesh",
    "P": "wengert.core.mesh",
    "Shard": "wengert.core.placement",
    "live_arrays": "wengert._spread",
    "make_array_from_callback": "wengert._spread",
    "make_array_from_process_local_data": "wengert._spread",
    "make_array_from_single_device_arrays": "wengert._spread",
    "make_mesh": "wengert.core.mesh",
    "make_user_context": "wengert._spread",
    "memory": "wengert._spread",
    "pmap": "wengert.transforms.pmap",
    "reshard": "wengert.sharding",
    "set_mesh": "wengert.core.mesh",
    "shard_map": "wengert.transforms.shard_map",
    "smap": "wengert.transforms.shard_map",
}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"wengert.{name}")
    if name in _LATE:
        value = globals()[name] = getattr(importlib.import_module(_LATE[name]), name)
        return value
    raise AttributeError(f"module 'wengert' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *_LATE})
