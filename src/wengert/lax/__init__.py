"""The operations that everything else is made of: few rules, no promotion, no broadcasting but of scalars.

Names, arguments and results are those of `jax.lax`.
"""

from __future__ import annotations

from wengert.prims.arithmetic import (
    RoundingMethod as RoundingMethod,
)
from wengert.prims.arithmetic import (
    abs_,
    abs_p as abs_p,
)
from wengert.prims.arithmetic import (
    add as add,
)
from wengert.prims.arithmetic import (
    add_p as add_p,
)
from wengert.prims.arithmetic import (
    ceil as ceil,
)
from wengert.prims.arithmetic import (
    ceil_p as ceil_p,
)
from wengert.prims.arithmetic import (
    complex as complex,
)
from wengert.prims.arithmetic import (
    complex_p as complex_p,
)
from wengert.prims.arithmetic import (
    conj as conj,
)
from wengert.prims.arithmetic import (
    conj_p as conj_p,
)
from wengert.prims.arithmetic import (
    copy_p as copy_p,
)
from wengert.prims.arithmetic import (
    div as div,
)
from wengert.prims.arithmetic import (
    div_p as div_p,
)
from wengert.prims.arithmetic import (
    floor as floor,
)
from wengert.prims.arithmetic import (
    floor_p as floor_p,
)
from wengert.prims.arithmetic import (
    imag as imag,
)
from wengert.prims.arithmetic import (
    imag_p as imag_p,
)
from wengert.prims.arithmetic import (
    integer_pow as integer_pow,
)
from wengert.prims.arithmetic import (
    integer_pow_p as integer_pow_p,
)
from wengert.prims.arithmetic import (
    is_finite as is_finite,
)
from wengert.prims.arithmetic import (
    is_finite_p as is_finite_p,
)
from wengert.prims.arithmetic import (
    max as max,
)
from wengert.prims.arithmetic import (
    max_p as max_p,
)
from wengert.prims.arithmetic import (
    min as min,
)
from wengert.prims.arithmetic import (
    min_p as min_p,
)
from wengert.prims.arithmetic import (
    mul as mul,
)
from wengert.prims.arithmetic import (
    mul_p as mul_p,
)
from wengert.prims.arithmetic import (
    mulhi as mulhi,
)
from wengert.prims.arithmetic import (
    mulhi_p as mulhi_p,
)
from wengert.prims.arithmetic import (
    neg as neg,
)
from wengert.prims.arithmetic import (
    neg_p as neg_p,
)
from wengert.prims.arithmetic import (
    nextafter as nextafter,
)
from wengert.prims.arithmetic import (
    nextafter_p as nextafter_p,
)
from wengert.prims.arithmetic import (
    real as real,
)
from wengert.prims.arithmetic import (
    real_p as real_p,
)
from wengert.prims.arithmetic import (
    reciprocal as reciprocal,
)
from wengert.prims.arithmetic import (
    rem as rem,
)
from wengert.prims.arithmetic import (
    rem_p as rem_p,
)
from wengert.prims.arithmetic import (
    round as round,
)
from wengert.prims.arithmetic import (
    round_p as round_p,
)
from wengert.prims.arithmetic import (
    sign as sign,
)
from wengert.prims.arithmetic import (
    sign_p as sign_p,
)
from wengert.prims.arithmetic import (
    square as square,
)
from wengert.prims.arithmetic import (
    square_p as square_p,
)
from wengert.prims.arithmetic import (
    sub as sub,
)
from wengert.prims.arithmetic import (
    sub_p as sub_p,
)
from wengert.prims.axes import (
    add_any_p as add_any_p,
)
from wengert.prims.axes import (
    broadcast_in_dim as broadcast_in_dim,
)
from wengert.prims.axes import (
    broadcast_in_dim_p as broadcast_in_dim_p,
)
from wengert.prims.axes import (
    reduce_sum as reduce_sum,
)
from wengert.prims.axes import (
    reduce_sum_p as reduce_sum_p,
)
from wengert.prims.axes import (
    transpose as transpose,
)
from wengert.prims.axes import (
    transpose_p as transpose_p,
)
from wengert.prims.conversion import (
    bitcast_convert_type as bitcast_convert_type,
)
from wengert.prims.conversion import (
    bitcast_convert_type_p as bitcast_convert_type_p,
)
from wengert.prims.conversion import (
    convert_element_type as convert_element_type,
)
from wengert.prims.conversion import (
    convert_element_type_p as convert_element_type_p,
)
from wengert.prims.conversion import (
    reduce_precision as reduce_precision,
)
from wengert.prims.conversion import (
    reduce_precision_p as reduce_precision_p,
)
from wengert.prims.dot import (
    Precision as Precision,
)
from wengert.prims.dot import (
    batch_matmul as batch_matmul,
)
from wengert.prims.dot import (
    dot as dot,
)
from wengert.prims.dot import (
    dot_general as dot_general,
)
from wengert.prims.dot import (
    dot_general_p as dot_general_p,
)
from wengert.prims.logic import (
    and_p as and_p,
)
from wengert.prims.logic import (
    bitwise_and as bitwise_and,
)
from wengert.prims.logic import (
    bitwise_not as bitwise_not,
)
from wengert.prims.logic import (
    bitwise_or as bitwise_or,
)
from wengert.prims.logic import (
    bitwise_xor as bitwise_xor,
)
from wengert.prims.logic import (
    clz as clz,
)
from wengert.prims.logic import (
    clz_p as clz_p,
)
from wengert.prims.logic import (
    eq as eq,
)
from wengert.prims.logic import (
    eq_p as eq_p,
)
from wengert.prims.logic import (
    ge as ge,
)
from wengert.prims.logic import (
    ge_p as ge_p,
)
from wengert.prims.logic import (
    gt as gt,
)
from wengert.prims.logic import (
    gt_p as gt_p,
)
from wengert.prims.logic import (
    le as le,
)
from wengert.prims.logic import (
    le_p as le_p,
)
from wengert.prims.logic import (
    lt as lt,
)
from wengert.prims.logic import (
    lt_p as lt_p,
)
from wengert.prims.logic import (
    ne as ne,
)
from wengert.prims.logic import (
    ne_p as ne_p,
)
from wengert.prims.logic import (
    not_p as not_p,
)
from wengert.prims.logic import (
    or_p as or_p,
)
from wengert.prims.logic import (
    population_count as population_count,
)
from wengert.prims.logic import (
    population_count_p as population_count_p,
)
from wengert.prims.logic import (
    shift_left as shift_left,
)
from wengert.prims.logic import (
    shift_left_p as shift_left_p,
)
from wengert.prims.logic import (
    shift_right_arithmetic as shift_right_arithmetic,
)
from wengert.prims.logic import (
    shift_right_arithmetic_p as shift_right_arithmetic_p,
)
from wengert.prims.logic import (
    shift_right_logical as shift_right_logical,
)
from wengert.prims.logic import (
    shift_right_logical_p as shift_right_logical_p,
)
from wengert.prims.logic import (
    xor_p as xor_p,
)
from wengert.prims.reduce import (
    argmax as argmax,
)
from wengert.prims.reduce import (
    argmax_p as argmax_p,
)
from wengert.prims.reduce import (
    argmin as argmin,
)
from wengert.prims.reduce import (
    argmin_p as argmin_p,
)
from wengert.prims.reduce import (
    reduce_and as reduce_and,
)
from wengert.prims.reduce import (
    reduce_and_p as reduce_and_p,
)
from wengert.prims.reduce import (
    reduce_max as reduce_max,
)
from wengert.prims.reduce import (
    reduce_max_p as reduce_max_p,
)
from wengert.prims.reduce import (
    reduce_min as reduce_min,
)
from wengert.prims.reduce import (
    reduce_min_p as reduce_min_p,
)
from wengert.prims.reduce import (
    reduce_or as reduce_or,
)
from wengert.prims.reduce import (
    reduce_or_p as reduce_or_p,
)
from wengert.prims.reduce import (
    reduce_prod as reduce_prod,
)
from wengert.prims.reduce import (
    reduce_prod_p as reduce_prod_p,
)
from wengert.prims.reduce import (
    reduce_xor as reduce_xor,
)
from wengert.prims.reduce import (
    reduce_xor_p as reduce_xor_p,
)
from wengert.prims.select import (
    clamp as clamp,
)
from wengert.prims.select import (
    clamp_p as clamp_p,
)
from wengert.prims.select import (
    select as select,
)
from wengert.prims.select import (
    select_n as select_n,
)
from wengert.prims.select import (
    select_n_p as select_n_p,
)
from wengert.prims.shape import (
    broadcast as broadcast,
)
from wengert.prims.shape import (
    broadcast_like as broadcast_like,
)
from wengert.prims.shape import (
    broadcast_shapes as broadcast_shapes,
)
from wengert.prims.shape import (
    broadcast_to_rank as broadcast_to_rank,
)
from wengert.prims.shape import (
    broadcasted_iota as broadcasted_iota,
)
from wengert.prims.shape import (
    collapse as collapse,
)
from wengert.prims.shape import (
    expand_dims as expand_dims,
)
from wengert.prims.shape import (
    full as full,
)
from wengert.prims.shape import (
    full_like as full_like,
)
from wengert.prims.shape import (
    iota as iota,
)
from wengert.prims.shape import (
    iota_p as iota_p,
)
from wengert.prims.shape import (
    reshape as reshape,
)
from wengert.prims.shape import (
    reshape_p as reshape_p,
)
from wengert.prims.shape import (
    rev as rev,
)
from wengert.prims.shape import (
    rev_p as rev_p,
)
from wengert.prims.shape import (
    squeeze as squeeze,
)
from wengert.prims.shape import (
    squeeze_p as squeeze_p,
)
from wengert.prims.shape import (
    tile as tile,
)
from wengert.prims.slicing import (
    concatenate as concatenate,
)
from wengert.prims.slicing import (
    concatenate_p as concatenate_p,
)
from wengert.prims.slicing import (
    index_in_dim as index_in_dim,
)
from wengert.prims.slicing import (
    pad as pad,
)
from wengert.prims.slicing import (
    pad_p as pad_p,
)
from wengert.prims.slicing import (
    slice as slice,
)
from wengert.prims.slicing import (
    slice_in_dim as slice_in_dim,
)
from wengert.prims.slicing import (
    slice_p as slice_p,
)
from wengert.prims.slicing import (
    split as split,
)
from wengert.prims.slicing import (
    stack as stack,
)
from wengert.prims.slicing import (
    unstack as unstack,
)
from wengert.prims.transcendental import (
    acos as acos,
)
from wengert.prims.transcendental import (
    acos_p as acos_p,
)
from wengert.prims.transcendental import (
    acosh as acosh,
)
from wengert.prims.transcendental import (
    acosh_p as acosh_p,
)
from wengert.prims.transcendental import (
    asin as asin,
)
from wengert.prims.transcendental import (
    asin_p as asin_p,
)
from wengert.prims.transcendental import (
    asinh as asinh,
)
from wengert.prims.transcendental import (
    asinh_p as asinh_p,
)
from wengert.prims.transcendental import (
    atan as atan,
)
from wengert.prims.transcendental import (
    atan2 as atan2,
)
from wengert.prims.transcendental import (
    atan2_p as atan2_p,
)
from wengert.prims.transcendental import (
    atan_p as atan_p,
)
from wengert.prims.transcendental import (
    atanh as atanh,
)
from wengert.prims.transcendental import (
    atanh_p as atanh_p,
)
from wengert.prims.transcendental import (
    cbrt as cbrt,
)
from wengert.prims.transcendental import (
    cbrt_p as cbrt_p,
)
from wengert.prims.transcendental import (
    cos as cos,
)
from wengert.prims.transcendental import (
    cos_p as cos_p,
)
from wengert.prims.transcendental import (
    cosh as cosh,
)
from wengert.prims.transcendental import (
    cosh_p as cosh_p,
)
from wengert.prims.transcendental import (
    exp as exp,
)
from wengert.prims.transcendental import (
    exp2 as exp2,
)
from wengert.prims.transcendental import (
    exp2_p as exp2_p,
)
from wengert.prims.transcendental import (
    exp_p as exp_p,
)
from wengert.prims.transcendental import (
    expm1 as expm1,
)
from wengert.prims.transcendental import (
    expm1_p as expm1_p,
)
from wengert.prims.transcendental import (
    log as log,
)
from wengert.prims.transcendental import (
    log1p as log1p,
)
from wengert.prims.transcendental import (
    log1p_p as log1p_p,
)
from wengert.prims.transcendental import (
    log_p as log_p,
)
from wengert.prims.transcendental import (
    logistic as logistic,
)
from wengert.prims.transcendental import (
    logistic_p as logistic_p,
)
from wengert.prims.transcendental import (
    pow as pow,
)
from wengert.prims.transcendental import (
    pow_p as pow_p,
)
from wengert.prims.transcendental import (
    rsqrt as rsqrt,
)
from wengert.prims.transcendental import (
    rsqrt_p as rsqrt_p,
)
from wengert.prims.transcendental import (
    sin as sin,
)
from wengert.prims.transcendental import (
    sin_p as sin_p,
)
from wengert.prims.transcendental import (
    sinh as sinh,
)
from wengert.prims.transcendental import (
    sinh_p as sinh_p,
)
from wengert.prims.transcendental import (
    sqrt as sqrt,
)
from wengert.prims.transcendental import (
    sqrt_p as sqrt_p,
)
from wengert.prims.transcendental import (
    tan as tan,
)
from wengert.prims.transcendental import (
    tan_p as tan_p,
)
from wengert.prims.transcendental import (
    tanh as tanh,
)
from wengert.prims.transcendental import (
    tanh_p as tanh_p,
)

abs = abs_
