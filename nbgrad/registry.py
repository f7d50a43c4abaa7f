"""What there is for users, one registration for each operation, made where it is defined.

All else reads it: the methods of Variable, what stands behind NumPy's ufuncs, the tables of elementwise functions, and
the tests that hold `nbgrad/__init__.py` and the declarations in `nbgrad/methods.pyi` to it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar, overload

Registered = TypeVar("Registered", bound=Callable[..., Any])


class Entry:
    """What is known of a public function."""

    __slots__ = ("elementwise", "function", "method", "names", "operation", "public")

    def __init__(
        self, function: Callable[..., Any], names: tuple[str, ...], method: bool, public: bool, operation: Any
    ) -> None:
        #: The function that ``nbgrad.name`` is.
        self.function = function
        #: Its name, and its aliases.
        self.names = names
        #: Whether Variable has it as a method, by all its names.
        self.method = method
        #: Whether nbgrad has it, by all its names.
        self.public = public
        #: For elementwise functions, the `Elementwise` behind it.
        self.operation = operation
        #: For elementwise functions, what operators and NumPy's protocol call: it takes the operands and no options.
        self.elementwise: Callable[..., Any] | None = None if operation is None else function


#: All registrations, by name.
ENTRIES: dict[str, Entry] = {}

#: Operations that are registered when first asked for, as functions or as methods, in files of `nbgrad.ops` that
#: importing nbgrad spares.
LATER = {
    "einsum": "contraction",
    **dict.fromkeys(
        (
            "adjoint", "alias_copy", "as_strided", "as_strided_copy", "as_strided_scatter", "contiguous", "dsplit",
            "expand_copy", "hsplit", "moveaxis", "movedim", "narrow", "narrow_copy", "permute_copy", "ravel", "repeat",
            "repeat_interleave", "reshape_as", "roll", "rot90", "select", "split_with_sizes", "split_with_sizes_copy",
            "squeeze_copy", "sum_to_size", "swapdims", "t_copy", "tile", "transpose_copy", "unbind", "unbind_copy",
            "unflatten", "unfold", "unfold_copy", "unsafe_chunk", "unsafe_split", "unsqueeze_copy", "view_as",
            "view_copy", "vsplit",
        ),
        "arranging",
    ),
    **dict.fromkeys(
        (
            "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_tensors", "cartesian_prod",
            "column_stack", "combinations", "dstack", "hstack", "meshgrid", "row_stack", "vstack",
        ),
        "assembling",
    ),
    **dict.fromkeys(
        (
            "empty_like", "logspace", "new_empty", "new_full", "new_ones", "new_tensor", "new_zeros", "scalar_tensor",
        ),
        "making",
    ),
    **dict.fromkeys(
        (
            "argwhere", "bincount", "bucketize", "gather", "histc", "histogram", "index_select", "masked_select",
            "nonzero", "nonzero_static", "searchsorted", "take", "tril_indices", "triu_indices", "unravel_index",
        ),
        "picking",
    ),
    "histogramdd": "histograms",
    **dict.fromkeys(("masked_fill", "masked_scatter"), "masks"),
    "segment_reduce": "segments",
    **dict.fromkeys(
        (
            "diagonal_scatter", "index_add", "index_copy", "index_fill", "index_put", "index_reduce", "put", "scatter",
            "scatter_add", "scatter_reduce", "select_scatter", "slice_scatter",
        ),
        "putting",
    ),
    **dict.fromkeys(
        (
            "bernoulli", "bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "multinomial", "normal",
            "normal_", "poisson", "rand_like", "randint_like", "randn_like", "random_", "randperm", "uniform_",
        ),
        "drawing",
    ),
    **dict.fromkeys(
        (
            "copysign", "fmod", "gammainc", "gammaincc", "heaviside", "i0", "igamma", "igammac", "logaddexp2", "logit",
            "multigammaln", "mvlgamma", "sinc", "xlogy",
        ),
        "special",
    ),
    **dict.fromkeys(
        (
            "addcdiv", "addcmul", "angle", "bool", "byte", "char", "conj", "conj_physical", "deg2rad", "degrees",
            "divide", "double", "fill", "float", "float_power", "fmax", "fmin", "half", "int", "ldexp", "lerp", "long",
            "nan_to_num", "rad2deg", "radians", "real", "resolve_conj", "resolve_neg", "rsub", "short", "true_divide",
        ),
        "blending",
    ),
    **dict.fromkeys(
        (
            "allclose", "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift",
            "bitwise_xor", "ceil", "equal", "fix", "floor", "frac", "frexp", "gcd", "isclose", "isfinite", "isin",
            "isinf", "isnan", "isneginf", "isposinf", "isreal", "lcm", "nextafter", "round", "sgn", "signbit", "trunc",
        ),
        "steps",
    ),
    **dict.fromkeys(
        (
            "addbmm", "addmm", "addmv", "addr", "baddbmm", "chain_matmul", "cross", "inner", "kron", "tensordot",
            "vdot",
        ),
        "products",
    ),
    **dict.fromkeys(
        (
            "cholesky_inverse", "cholesky_solve", "geqrf", "logdet", "lu_unpack", "ormqr", "triangular_solve",
        ),
        "factorization",
    ),
    **dict.fromkeys(("cholesky", "det", "lu", "lu_solve", "matrix_power", "pinverse", "qr", "slogdet", "svd"), "older"),
    **dict.fromkeys(("matrix_exp", "nuclear_norm"), "matrices"),
    **dict.fromkeys(("pca_lowrank", "svd_lowrank"), "low_rank"),
    "hash_tensor": "hashing",
    "stft": "fourier",
    **dict.fromkeys(("complex", "polar", "view_as_complex", "view_as_real"), "pairs"),
    **dict.fromkeys(
        ("diag", "diag_embed", "diagflat", "diagonal", "diagonal_copy", "trace", "tril", "triu"), "diagonals"
    ),
    **dict.fromkeys(("cumulative_trapezoid", "gradient", "trapezoid", "trapz"), "calculus"),
    **dict.fromkeys(("cdist", "corrcoef", "cov", "dist", "pdist", "renorm"), "distances"),
    **dict.fromkeys(
        (
            "argsort", "kthvalue", "median", "mode", "msort", "nanmedian", "nanquantile", "quantile", "sort", "topk",
            "unique", "unique_consecutive",
        ),
        "sorting",
    ),
}  # fmt: skip

#: What has a method that writes in place besides, made when first asked for: those of operations by their names, and
#: by others that PyTorch has for them.
IN_PLACE = {
    **{
        f"{name}_": name
        for name in (
            "addbmm", "addcdiv", "addcmul", "addmm", "addmv", "addr", "baddbmm", "bitwise_and", "bitwise_left_shift",
            "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "ceil", "conj_physical", "copysign",
            "deg2rad", "eq", "fix", "float_power", "floor", "fmod", "frac", "gcd", "ge", "gt", "heaviside", "i0",
            "igamma", "igammac", "index_put", "index_reduce", "lcm", "ldexp", "le", "lerp", "logical_and",
            "logical_not", "logical_or", "logical_xor", "logit", "lt", "masked_scatter", "mvlgamma", "nan_to_num",
            "ne", "nextafter", "put", "rad2deg", "renorm", "round", "scatter", "scatter_add", "scatter_reduce", "sgn",
            "sinc", "squeeze", "swapaxes", "swapdims", "t", "transpose", "tril", "triu", "trunc", "unsqueeze", "xlogy",
        )
    },
    "absolute_": "abs", "arccos_": "acos", "arccosh_": "acosh", "arcsin_": "asin", "arcsinh_": "asinh",
    "arctan_": "atan", "arctan2_": "atan2", "arctanh_": "atanh", "clip_": "clamp", "divide_": "div",
    "greater_": "gt", "greater_equal_": "ge", "less_": "lt", "less_equal_": "le", "multiply_": "mul",
    "negative_": "neg", "not_equal_": "ne", "subtract_": "sub", "true_divide_": "div",
}  # fmt: skip
LATER.update(dict.fromkeys(IN_PLACE, "rewriting"))

#: Modules of nbgrad that are imported when first asked for.
MODULES = ("amp", "distributions", "fft", "func", "masked", "math", "optim", "signal", "special", "utils")

#: What is no operation, by the modules of nbgrad that are imported when one is first asked for.
FUNCTIONS = {
    "GradScaler": "amp",
    "autocast": "amp",
    "device": "kernels.placement",
    "load": "saving",
    "njit": "loops.differentiable",
    "save": "saving",
    **dict.fromkeys(("hessian", "hvp", "jacfwd", "jacobian", "jacrev", "jvp", "linearize", "vjp", "vmap"), "func"),
}

#: What else is imported when first asked for: PyTorch's names of dtypes, some of which are methods of Variable as well.
DTYPES = (
    "bool", "double", "dtype", "float", "float16", "float32", "float64", "half", "int", "int16", "int32", "int64",
    "int8", "long", "short", "uint8",
)  # fmt: skip
FUNCTIONS |= dict.fromkeys(DTYPES, "dtypes")

#: Makes the method of a name that writes in place what a function gives, which is known by another name.
make_in_place: Callable[[str, str, Entry], Callable[..., Any]]

#: Makes a function a method of Variable; set when those that are registered by then have been made methods.
install_method: Callable[[str, Callable[..., Any]], None] | None = None


def load(name: str) -> Entry:
    """Register an operation that is registered when first asked for."""
    if name in IN_PLACE and name not in ENTRIES:
        base = IN_PLACE[name]
        method = make_in_place(name, base, ENTRIES.get(base) or load(base))  # noqa: F821
        ENTRIES[name] = Entry(method, (name,), True, False, None)
        _install(ENTRIES[name])
    import_module(f".ops.{LATER[name]}", __package__)
    return next(entry for entry in ENTRIES.values() if name in entry.names)


def late_method(x: Any, name: str) -> Any:
    """Give a method of x that is made one when first asked for, None where there is no such method."""
    return getattr(x, name) if name in LATER and load(name).method else None


@overload
def operation(function: Registered, /) -> Registered: ...
@overload
def operation(
    *, alias: str | None = None, method: bool = True, public: bool = True, elementwise: bool = False
) -> Callable[[Registered], Registered]: ...
def operation(
    function: Any = None,
    /,
    *,
    alias: str | None = None,
    method: bool = True,
    public: bool = True,
    elementwise: bool = False,
) -> Any:
    """Register a function as an operation, by its name and perhaps an alias; works as a decorator.

    Unless told otherwise it is public and a method of Variable. One that has the name of an elementwise operation takes
    its place before users; operators keep to the operation itself, which does not look at options, unless the function
    is `elementwise`.
    """

    def register(function: Registered) -> Registered:
        name = function.__name__
        behind = ENTRIES.get(name)
        names = (name,) if alias is None else (name, alias)
        entry = ENTRIES[name] = Entry(function, names, method, public, None if behind is None else behind.operation)
        if behind is not None and not elementwise:
            entry.elementwise = behind.elementwise
        _install(entry)
        return function

    return register if function is None else register(function)


def register_elementwise(operation: Any, method: bool = True, public: bool = True) -> None:
    """Register an `Elementwise` by its name, with the function that it has."""
    ENTRIES[operation.name] = Entry(operation.function, (operation.name,), method, public, operation)
    _install(ENTRIES[operation.name])


def _install(entry: Entry) -> None:
    if install_method is not None and entry.method:
        for name in entry.names:
            install_method(name, entry.function)


def methods() -> dict[str, Callable[..., Any]]:
    """Return the functions that are methods of Variable, by name."""
    return {name: entry.function for entry in ENTRIES.values() if entry.method for name in entry.names}
