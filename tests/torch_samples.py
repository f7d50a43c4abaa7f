"""PyTorch's own samples: what its test suite calls its operations with, and what is known about them here.

An entry of torch's database is an operation with perhaps a variant, as "round" and "round:decimals_3". Those that exist
here are found by their names; the others stand in `ABSENT`, each with the reason. What disagrees stands in
`DISAGREEMENTS`, what torch refuses and we take in `ACCEPTED`, also with reasons. Importing the database takes torch's
testing package, and with it expecttest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache as once
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.nn import functional

#: At most so many samples of an operation, of each dtype.
MOST = 150

#: What counts as equal: relative and absolute differences.
TOLERANCE = {"float64": (1e-7, 1e-9), "float32": (2e-4, 5e-5)}

# ---- what exists ----------------------------------------------------------------------------------------------------

#: Modules whose functions torch has under the same names.
NAMESPACES = ("nn.functional", "linalg", "fft", "special", "masked", "signal.windows")

#: How operations are called whose arguments stand in another order here, or that have another name.
CALLS: dict[str, Callable[..., Any]] = {
    "where": lambda x, condition, y: nbgrad.where(condition, x, y),
    "polygamma": lambda x, n: nbgrad.polygamma(n, x),
    "constant_pad_nd": lambda x, widths, value=0: functional.pad(x, widths, value=value),
    **{
        f"grid_sampler_{dims}d": lambda x, grid, mode, padding, corners: functional.grid_sample(
            x, grid, ("bilinear", "nearest", "bicubic")[mode], ("zeros", "border", "reflection")[padding], corners
        )
        for dims in (2, 3)
    },
    "slice": lambda x, dim=0, start=None, end=None, step=1: x[(*(slice(None),) * dim, slice(start, end, step))],
    "unfold": lambda x, *arguments: x.unfold(*arguments),
    **{
        name: lambda x, *arguments, _name=name, **options: getattr(x.detach().clone(), f"{_name}_")(
            *arguments, **options
        )
        for name in ("cauchy", "exponential", "geometric", "log_normal", "uniform")
    },
    "normal:in_place": lambda x, *arguments: x.detach().clone().normal_(*arguments),
    "nn.functional.embedding": lambda weight, x, **options: functional.embedding(x, weight, **options),
    "nn.functional.embedding_bag": lambda weight, x, *rest, **options: functional.embedding_bag(
        x, weight, *rest, **options
    ),
    "einsum": lambda tensors, equation: nbgrad.einsum(equation, *tensors),
    "linalg.lstsq:grad_oriented": lambda a, b, driver: nbgrad.linalg.lstsq(a, b, driver=driver)[:2],
    "linalg.pinv:singular": lambda a, b: nbgrad.linalg.pinv(a @ b.mT),
    "special.polygamma": lambda x, n: nbgrad.special.polygamma(n, x),
}

#: Draw numbers of their own, or none: shapes and dtypes are all there is to compare.
UNDETERMINED = {
    *(f"nn.functional.fractional_max_pool{dims}d" for dims in (2, 3)),
    *"""bernoulli cauchy empty empty_like exponential geometric log_normal multinomial new_empty normal rand_like
    randint randint_like randn randn_like uniform""".split(),
}


def _without_signs(parts: Any) -> list[Any]:
    """Give values and vectors up to their signs; of singular vectors those that the matrix determines."""
    u, s, *rest = [abs(part) for part in parts]
    if not rest:
        return [u, s]
    k = s.shape[-1]
    wide = rest[0][..., :k, :] if type(parts).__name__ in ("linalg_svd", "SVDFactors") else rest[0][..., :k]
    return [u[..., :k], s, wide]


#: What is compared of results that are determined up to signs only, of theirs and of ours.
COMPARED: dict[str, Callable[[Any], Any]] = dict.fromkeys(("linalg.eigh", "linalg.svd", "svd"), _without_signs)


def name_of(entry: Any) -> str:
    """Give the name of an entry, with its variant."""
    return f"{entry.name}:{entry.variant_test_name}" if entry.variant_test_name else str(entry.name)


def function_of(entry: Any) -> Callable[..., Any] | None:
    """Give what we have by the name of one of torch's operations, with torch's order of arguments; None for nothing."""
    name = entry.name
    if name_of(entry) in ABSENT or name in ABSENT:
        return None
    for called in (name_of(entry), name):
        if called in CALLS:
            return CALLS[called]
    for namespace in NAMESPACES:
        if name.startswith(f"{namespace}."):
            try:
                module = import_module(f"nbgrad.{namespace}")
            except ImportError:
                return None
            return getattr(module, name.removeprefix(f"{namespace}."), None)
    for place in () if name.startswith("__") else (nbgrad, functional):
        if callable(getattr(place, name, None)):
            return getattr(place, name)
    method = getattr(Variable, name, None) or method_that_loads_later(name)
    return method.fget if isinstance(method, property) else method if callable(method) else None


def method_that_loads_later(name: str) -> Callable[..., Any] | None:
    """Give a method of Variable that is there when first asked for."""
    from nbgrad.registry import LATER, load

    if name in LATER:
        entry = load(name)
        return entry.function if entry.method else None
    return None


@once
def database() -> list[Any]:
    """Give the entries that work on a CPU's floats."""
    torch = peer("torch")
    peer("expecttest")
    entries = peer("torch.testing._internal.common_methods_invocations").op_db
    return [entry for entry in entries if torch.float64 in entry.supported_dtypes("cpu")]


def existing() -> Iterator[tuple[Any, Callable[..., Any]]]:
    """Give the entries whose operations exist, with ours."""
    for entry in database():
        function = function_of(entry)
        if function is not None:
            yield entry, function


# ---- what does not, and why -----------------------------------------------------------------------------------------

_COMPLEX = "its result is complex: nbgrad's dtypes are real, and functions that need two give (real, imag)"
_SPARSE = "sparse arrays do not exist here"
_INTERNAL = "torch's own, behind other functions, and no part of its documented names"
_DTYPE = "NumPy has no such dtype"
_PACKED = "LAPACK's packed form of symmetric factors, which nothing else here takes: linalg.solve solves"
_GPU = "compiles C++ text for GPUs: nbgrad.elementwise makes kernels of Python formulas"
_MEMORY = "is about how torch lays out memory"

#: Entries that do not exist here, each with the reason.
ABSENT: dict[str, str] = {
    **dict.fromkeys(("cdouble", "cfloat", "chalf", "complex", "polar", "view_as_complex"), _COMPLEX),
    **dict.fromkeys(("to_sparse", "sparse.mm", "sparse.sampled_addmm"), _SPARSE),
    **dict.fromkeys(("linalg.ldl_factor", "linalg.ldl_factor_ex", "linalg.ldl_solve"), _PACKED),
    "bfloat16": _DTYPE,
    **dict.fromkeys(
        (
            "jiterator_2inputs_2outputs", "jiterator_4inputs_with_extra_args", "jiterator_binary",
            "jiterator_binary_return_by_ref", "jiterator_unary",
        ),
        _GPU,
    ),
    **dict.fromkeys(("empty_permuted", "empty_strided", "new_empty_strided"), _MEMORY),
    **dict.fromkeys(
        (
            "_batch_norm_with_update", "_chunk_cat", "_native_batch_norm_legit", "_segment_reduce",
            "_softmax_backward_data", "_unsafe_masked_index", "_unsafe_masked_index_put_accumulate",
            "_upsample_bilinear2d_aa", "hash_tensor", "max_pool2d_with_indices_backward", "native_batch_norm",
            "native_dropout_backward", "native_group_norm", "native_layer_norm", "torch.ops.aten._safe_softmax.default",
        ),
        _INTERNAL,
    ),
}  # fmt: skip

#: Entries that are not there yet.
TO_COME = set("__rdiv__ histogramdd pca_lowrank resize_ resize_as_ svd_lowrank".split())

# ---- what disagrees, and why ----------------------------------------------------------------------------------------


class Disagreement(NamedTuple):
    """A reason, and what the sample or the error says where it holds."""

    says: str
    reason: str


_DRAWN = "draws numbers of its own"
_REAL = "dtypes are real: there are results where all eigenvalues are, which torch gives as complex numbers"
_BESSEL = Disagreement("value", "torch's are right to 7 digits: its J0 of 5.1 is 3.3e-7 off, ours 3e-17")
_DROPPED = tuple([Disagreement(says, _DRAWN) for says in ("training=True", "(), : AssertionError")])

#: Samples that disagree, by operation.
DISAGREEMENTS: dict[str, tuple[Disagreement, ...]] = {
    **dict.fromkeys(("special.bessel_j0", "special.bessel_j1", "special.bessel_y0", "special.bessel_y1"), (_BESSEL,)),
    "nn.functional.rrelu": (Disagreement("training=True", _DRAWN),),
    **dict.fromkeys(
        ("linalg.eig", "linalg.eigvals"),
        (
            Disagreement("there are complex eigenvalues", _REAL),
            Disagreement("results, torch's are", _REAL),
        ),
    ),
    "cov": (Disagreement("aweights=float32", "where differences cancel, both have the rounding errors of float32"),),
    "linalg.det": (Disagreement("same dtype, but found LU of type Double", "torch's fails if float64 is the default"),),
    "logcumsumexp": (
        Disagreement(
            "float32: float32[5, 5, 5], (1)", "of elements up to 1e3 in float32: ours is 3e-4 off, torch's 6e-4"
        ),
        Disagreement(
            "float32: float32[5, 5, 5], (0)", "of elements up to 1e3 in float32: ours is 3e-4 off, torch's 6e-4"
        ),
    ),
    "half": (Disagreement("float16 has no gradients", "gradients have float32 or float64"),),
    **{
        f"nn.functional.max_unpool{dims}d": (
            Disagreement("gradient", "of several elements for one place the last is there, and has the gradient"),
        )
        for dims in (1, 2, 3)
    },
    **{
        f"nn.functional.{name}": _DROPPED
        for name in ("alpha_dropout", "dropout", "dropout2d", "dropout3d", "feature_alpha_dropout")
    },
    "nn.functional.triplet_margin_with_distance_loss": (
        Disagreement("distance_function=", "the distances of these samples are functions of torch's tensors"),
    ),
    "nn.functional.linear_cross_entropy": (
        Disagreement("second gradient", "torch's, computed in pieces, takes its first gradient for constant"),
    ),
    "nn.functional.multi_head_attention_forward": (Disagreement("training=True", _DRAWN),),
    **dict.fromkeys(
        ("nn.functional.grid_sample", "grid_sampler_2d", "grid_sampler_3d"),
        (
            Disagreement("Expected self.dtype to be equal to src.dtype", "torch cannot do it"),
            Disagreement("float32", "sums of float32 that nearly cancel, of both libraries"),
        ),
    ),
    "nn.functional.batch_norm": (
        Disagreement("input has shape (0,)", "no samples and no channels, which torch takes for both"),
    ),
    "nn.functional.normalize": (Disagreement("float32", "second derivatives of roots near 0, of both libraries"),),
    "nn.functional.layer_norm": (Disagreement("float32[1], ((1)", "torch's rounding of what is 0"),),
    "nn.functional.ctc_loss": (
        Disagreement("gradient", "torch's gradient is the logits' of a softmax before; this is that of log_probs"),
    ),
    "nn.functional.scaled_dot_product_attention": (
        Disagreement("dropout_p=0.5", _DRAWN),
        Disagreement("flash_attention_for_cpu_backward is not implemented", "torch has no second gradient there"),
        Disagreement("float32", "torch's gradients of float32 are off by 2e-5 where they should be 0"),
    ),
    "as_strided:partial_views": (Disagreement("as_strided", "these samples are views whose memory is larger"),),
    "normal:number_mean": (Disagreement("layout=torch.strided", "there is one layout, which has no name"),),
    "as_strided_scatter": (
        Disagreement("gradient", "torch's gradient by input counts the elements that were written over"),
    ),
    "zero_": (
        Disagreement(
            "a leaf that requires a gradient cannot be written to",
            "what the graph recorded before would be changed under it",
        ),
    ),
}

#: Functions of a number and a degree.
_POLYNOMIALS = (
    *(f"special.{shifted}chebyshev_polynomial_{kind}" for shifted in ("", "shifted_") for kind in "tuvw"),
    "special.hermite_polynomial_h", "special.hermite_polynomial_he", "special.laguerre_polynomial_l",
    "special.legendre_polynomial_p",
)  # fmt: skip

_NUMBERS = "functions take Python numbers and arrays where torch wants a tensor, as NumPy's do"

#: torch's wrong inputs that are right here, by operation, with the reason.
ACCEPTED: dict[str, str] = {
    **dict.fromkeys(
        (
            "clamp_max", "clamp_min", "atan2", "hypot", "logaddexp", "maximum", "minimum", "max", "min", "pow",
            "remainder", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor",
            "__radd__", "__rmul__", "__rsub__", "__rmod__", "__rpow__", "fmax", "fmin", "ldexp", "isclose",
            "copysign", "fmod", "heaviside", "xlogy",
            "float_power", "rsub", "igamma", "igammac", "special.xlog1py", "special.zeta", *_POLYNOMIALS,
        ),
        _NUMBERS,
    ),
    "mean": "the mean of whole numbers is floating, as NumPy's",
}  # fmt: skip

# ---- comparing ------------------------------------------------------------------------------------------------------


def converted(value: Any) -> Any:
    """Give arguments with Variables, dtypes and names of devices in the place of torch's; pairs of complex tensors."""
    torch = peer("torch")
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            return converted(value.real), converted(value.imag)
        return Variable(value.detach().numpy().copy(), requires_grad=value.requires_grad)
    if isinstance(value, torch.dtype):
        return np.dtype(str(value).removeprefix("torch."))
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, dict):
        return {name: converted(part) for name, part in value.items()}
    return type(value)(converted(part) for part in value) if type(value) in (list, tuple) else value


def leaves(value: Any, kind: type) -> list[Any]:
    """Give all values of a kind in a nest, in order; of a complex tensor its two parts."""
    if isinstance(value, kind):
        is_complex = getattr(value, "is_complex", None)
        return [value.real, value.imag] if is_complex is not None and is_complex() else [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [leaf for part in parts for leaf in leaves(part, kind)]


def equal(found: Any, wanted: Any, tolerance: tuple[float, float], what: str) -> None:
    """Hold an array against a tensor, None being zeros; absolute differences are beside the largest element."""
    mine = 0.0 if found is None else found.data
    theirs = 0.0 if wanted is None else wanted.detach().numpy(force=True)
    if found is not None and wanted is not None:
        assert mine.shape == theirs.shape, f"{what}: shape {mine.shape}, torch's is {theirs.shape}"
    finite = np.abs(theirs)[np.isfinite(theirs)]
    rtol, atol = tolerance
    np.testing.assert_allclose(mine, theirs, rtol, atol * max(1.0, float(finite.max(initial=0))), err_msg=what)


#: Which argument is read by half only: torch's own check of gradients gives it a triangle, and so do we.
READ_BY_HALF = {"cholesky_inverse": 0, "cholesky_solve": 1}


def _halved(entry: Any, module: Any, options: dict[str, Any], arguments: list[Any]) -> list[Any]:
    place = READ_BY_HALF.get(entry.name)
    if place is not None:
        triangle = module.triu if options.get("upper") or any(x is True for x in arguments) else module.tril
        arguments = [triangle(x) if i == place else x for i, x in enumerate(arguments)]
    return arguments


class Pair(NamedTuple):
    """What both libraries made of one sample."""

    outputs: list[Any]
    inputs: list[Any]

    def recorded(self) -> list[Any]:
        return [y for y in self.outputs if y.requires_grad]


def compare(entry: Any, function: Callable[..., Any], sample: Any, dtype: str, order: int = 2) -> int:
    """Hold one sample's values, first gradients, and second ones where torch has them, against torch's.

    Gives the order up to which there was something to compare. Raises AssertionError where they disagree.
    """
    torch = peer("torch")
    given = [sample.input, list(sample.args), dict(sample.kwargs)]
    ours = converted(given)
    process = COMPARED.get(entry.name, lambda result: result)
    expected = process(entry(*_halved(entry, torch, sample.kwargs, [given[0], *given[1]]), **sample.kwargs))
    found = process(function(*_halved(entry, nbgrad, sample.kwargs, [ours[0], *ours[1]]), **ours[2]))
    theirs = Pair(leaves(expected, torch.Tensor), [x for x in leaves(given, torch.Tensor) if x.requires_grad])
    mine = Pair(leaves(found, Variable), [x for x in leaves(ours, Variable) if x.requires_grad])
    if not theirs.outputs and not mine.outputs:
        np.testing.assert_equal(found, expected)
    count = len(mine.outputs), len(theirs.outputs)
    assert count[0] == count[1], f"{count[0]} results, torch's are {count[1]}"
    single = any(x.dtype == torch.float32 for x in leaves(given, torch.Tensor))
    tolerance = TOLERANCE["float32" if single else dtype]
    for y, z in zip(theirs.outputs, mine.outputs, strict=True):
        assert (z.shape, f"torch.{z.dtype}") == (tuple(y.shape), str(y.dtype)), (
            f"{z.dtype} of shape {z.shape}, torch's is {y.dtype} of {tuple(y.shape)}"
        )
        if entry.name not in UNDETERMINED:
            equal(z, y, tolerance, "value")
    if entry.name in UNDETERMINED or not theirs.recorded() or not theirs.inputs:
        return 0
    random = np.random.default_rng(0)
    pairs = [
        (y, z, random.uniform(0.5, 2, tuple(y.shape)).astype(str(z.dtype)))
        for y, z in zip(theirs.outputs, mine.outputs, strict=True)
        if y.requires_grad
    ]
    second = order > 1 and entry.supports_gradgrad
    options: dict[str, Any] = {"allow_unused": True, "create_graph": second, "retain_graph": second}
    by_torch = torch.autograd.grad(
        [y for y, _, _ in pairs], theirs.inputs, [torch.tensor(c) for _, _, c in pairs], **options
    )
    known = [(z, nbgrad.tensor(c)) for _, z, c in pairs if z.requires_grad]
    by_us: Any = [None] * len(mine.inputs)  # where nothing is recorded
    if known:
        by_us = nbgrad.autograd.grad([z for z, _ in known], mine.inputs, [c for _, c in known], **options)
    for gradient, wanted in zip(by_us, by_torch, strict=True):
        equal(gradient, wanted, tolerance, "gradient")
    if not second:
        return 1
    return _second(theirs.inputs, mine.inputs, by_torch, by_us, tolerance)


def _second(inputs: Any, ours: Any, by_torch: Any, by_us: Any, tolerance: tuple[float, float]) -> int:
    """Hold the gradients of a weighed sum of the gradients against torch's, where these are no NaN."""
    torch = peer("torch")
    random = np.random.default_rng(1)
    weights = [random.uniform(0.5, 2, tuple(x.shape)).astype(str(x.dtype).removeprefix("torch.")) for x in inputs]
    recorded = [(g, w) for g, w in zip(by_torch, weights, strict=True) if g is not None and g.requires_grad]
    wanted: Any = [None] * len(inputs)
    if recorded:
        wanted = torch.autograd.grad(
            [g for g, _ in recorded], inputs, [torch.tensor(w) for _, w in recorded], allow_unused=True
        )
    mine = [(g, w) for g, w in zip(by_us, weights, strict=True) if g is not None and g.requires_grad]
    found: Any = [None] * len(ours)
    if mine:
        found = nbgrad.autograd.grad([g for g, _ in mine], ours, [nbgrad.tensor(w) for _, w in mine], allow_unused=True)
    for g, w in zip(found, wanted, strict=True):
        if g is not None and w is not None and g.shape == tuple(w.shape):  # there is nothing to hold against NaN
            w = torch.where(w.isnan(), torch.tensor(g.data), w)
        equal(g, w, tuple(10 * t for t in tolerance), "second gradient")  # type: ignore[arg-type]
    return 2


def told(value: Any) -> str:
    """Give arguments as text, of tensors their dtypes and shapes."""
    torch = peer("torch")
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, dict):
        return ", ".join(f"{name}={told(part)}" for name, part in value.items())
    return f"({', '.join(map(told, value))})" if isinstance(value, list | tuple) else str(value)


class Outcome(NamedTuple):
    """What became of one sample: the order that was compared, or what was wrong, and the reason if it is known."""

    order: int
    error: str = ""
    reason: str = ""


def outcome(entry: Any, function: Callable[..., Any], sample: Any, dtype: str, order: int = 2) -> Outcome:
    """Compare one sample, and give what came of it."""
    try:
        return Outcome(compare(entry, function, sample, dtype, order))
    except Exception as error:
        given = f"{told(sample.input)}, {told(sample.args)}, {told(sample.kwargs)}"
        text = f"{name_of(entry)} {dtype}: {given}: {type(error).__name__}: {' '.join(str(error).split())}"
        known = (*DISAGREEMENTS.get(name_of(entry), ()), *DISAGREEMENTS.get(entry.name, ()))
        return Outcome(0, text, next((d.reason for d in known if d.says in text), ""))


def outcomes(entry: Any, function: Callable[..., Any], dtype: str, most: int = MOST, order: int = 2) -> list[Outcome]:
    """Compare an entry's samples of a dtype."""
    torch = peer("torch")
    kind = getattr(torch, dtype)
    if kind not in entry.supported_dtypes("cpu"):
        return []
    has_gradient = entry.supports_autograd and kind in entry.supported_backward_dtypes("cpu")
    samples = entry.sample_inputs("cpu", kind, requires_grad=has_gradient)
    return [outcome(entry, function, sample, dtype, order) for _, sample in zip(range(most), samples, strict=False)]


def refusals(entry: Any, function: Callable[..., Any]) -> Iterator[str]:
    """Give for each of an entry's wrong inputs what was taken though it is wrong; an empty text if it was refused."""
    for wrong in entry.error_inputs("cpu") if entry.error_inputs_func else ():
        sample = wrong.sample_input
        try:
            ours = converted([sample.input, list(sample.args), dict(sample.kwargs)])
            function(ours[0], *ours[1], **ours[2])
        except (TypeError, ValueError, IndexError, RuntimeError):
            yield ""
        else:
            given = f"{told(sample.input)}, {told(sample.args)}, {told(sample.kwargs)}"
            yield f"{name_of(entry)}: {given}: {wrong.error_regex}"
