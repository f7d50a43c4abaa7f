"""PyTorch's own samples: what its test suite calls its operations with, and what is known about them here.

An entry of torch's database is an operation with perhaps a variant, as "round" and "round:decimals_3". Those that exist
here are found by their names; the others stand in `ABSENT`, each with the reason. What disagrees stands in
`DISAGREEMENTS`, what torch refuses and we take in `ACCEPTED`, also with reasons. Importing the database takes torch's
testing package, and with it expecttest.
"""

from __future__ import annotations

import random
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


class Wider(NamedTuple):
    """What counts as equal of an operation's samples of a dtype, relative and absolute, and why it is more."""

    tolerance: tuple[float, float]
    reason: str


_BESSEL = Wider((1e-7, 1e-5), "torch's suite allows 1e-5 here: its J0 of 5.1 is 3.3e-7 off, ours 3e-17")

#: Operations of which more counts as equal, by name and dtype.
WIDER: dict[tuple[str, str], Wider] = {
    **{(f"special.bessel_{name}", "float64"): _BESSEL for name in ("j0", "j1", "y0", "y1")},
    ("logcumsumexp", "float32"): Wider(
        (1e-3, 1e-3),
        "of sums near 1e4 the last place is 1e-3, and the gradient exp(x - y) is good to that: ours is 3e-4 off where "
        "torch's is 6e-4",
    ),
}

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
    "zero_": lambda x: x.clone().zero_(),
    "normal:in_place": lambda x, *arguments: x.detach().clone().normal_(*arguments),
    "nn.functional.embedding": lambda weight, x, **options: functional.embedding(x, weight, **options),
    "nn.functional.embedding_bag": lambda weight, x, *rest, **options: functional.embedding_bag(
        x, weight, *rest, **options
    ),
    "_segment_reduce": nbgrad.segment_reduce,
    "einsum": lambda tensors, equation: nbgrad.einsum(equation, *tensors),
    **{
        f"linalg.{name}": lambda a, _name=name: getattr(nbgrad.linalg, _name)(a, return_complex=True)
        for name in ("eig", "eigvals")
    },
    "linalg.lstsq:grad_oriented": lambda a, b, driver: nbgrad.linalg.lstsq(a, b, driver=driver)[:2],
    "linalg.pinv:singular": lambda a, b: nbgrad.linalg.pinv(a @ b.mT),
    "special.polygamma": lambda x, n: nbgrad.special.polygamma(n, x),
    "pca_lowrank": lambda a, b, **options: nbgrad.pca_lowrank(a @ b.mT, **options),
    "svd_lowrank": lambda a, b, **options: nbgrad.svd_lowrank(a @ b.mT, **options),
}

#: Draw numbers of their own, or none: shapes and dtypes are all there is to compare.
UNDETERMINED = {
    *(f"nn.functional.fractional_max_pool{dims}d" for dims in (2, 3)),
    *"""bernoulli cauchy empty empty_like exponential geometric log_normal multinomial new_empty normal rand_like
    randint randint_like randn randn_like uniform""".split(),
}

#: Those that draw for some samples only, told by the sample.
DRAWING: dict[str, Callable[[Any], bool]] = {
    # of more than q singular values, which are found depends on the basis that was drawn
    "svd_lowrank": lambda sample: sample.kwargs["M"] is not None,
    "nn.functional.rrelu": lambda sample: sample.kwargs.get("training", False),
    "nn.functional.scaled_dot_product_attention": lambda sample: sample.kwargs.get("dropout_p", 0) > 0,
    "nn.functional.multi_head_attention_forward": lambda sample: sample.kwargs["training"] and sample.args[9] > 0,
    **{
        f"nn.functional.{name}": lambda sample: (
            sample.kwargs.get("training", True) and 0 < sample.kwargs.get("p", 0.5) < 1
        )
        for name in ("alpha_dropout", "dropout", "dropout2d", "dropout3d", "feature_alpha_dropout")
    },
}


def undetermined(entry: Any, sample: Any) -> bool:
    """Tell whether shapes and dtypes are all there is to compare."""
    return entry.name in UNDETERMINED or (entry.name in DRAWING and DRAWING[entry.name](sample))


def _without_signs(parts: Any) -> list[Any]:
    """Give values and vectors up to their signs; of singular vectors those that the matrix determines."""
    u, s, *rest = [abs(part) for part in parts]
    if not rest:
        return [u, s]
    k = s.shape[-1]
    wide = rest[0][..., :k, :] if type(parts).__name__ in ("linalg_svd", "SVDFactors") else rest[0][..., :k]
    return [u[..., :k], s, wide]


def _without_phases(parts: Any) -> list[Any]:
    """Give complex eigenvalues, and the moduli of the elements of their vectors, which no phase changes."""
    values, vectors = parts
    if isinstance(vectors, tuple):
        return [*values, nbgrad.hypot(*vectors)]
    return [values.real, values.imag, vectors.abs()]


#: What is compared of results, of theirs and of ours: those that are determined up to signs or phases.
COMPARED: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("linalg.eigh", "linalg.svd", "pca_lowrank", "svd", "svd_lowrank"), _without_signs),
    "linalg.eig": _without_phases,
}


def _written_last(input: Any, src: Any, size: Any, stride: Any, storage_offset: int = 0) -> Any:
    """Give as_strided_scatter by index_put: no place comes twice in torch's samples."""
    torch = peer("torch")
    places = torch.arange(input.numel()).as_strided(size, stride, storage_offset)
    return input.flatten().index_put((places.flatten(),), src.flatten()).reshape(input.shape)


def _last_unpooled(input: Any, indices: Any, *, output_size: Any, **window: Any) -> Any:
    """Give max_unpool by index_put of what is not overwritten: of several elements for one place the last."""
    torch = peer("torch")
    channels, size = input.shape[0] * input.shape[1], int(np.prod(output_size[2:]))
    places = (indices.reshape(channels, -1) + size * torch.arange(channels)[:, None]).flatten()
    last = {int(place): at for at, place in enumerate(places)}
    kept = input.flatten()[list(last.values())]
    return input.new_zeros(channels * size).index_put((torch.tensor(list(last)),), kept).reshape(output_size)


#: The same by other operations of torch's, for those of whose own gradients its suite leaves some out: they are held
#: against these, of which it leaves out none, and values against both.
PLAINLY: dict[str, Callable[..., Any]] = {
    "as_strided_scatter": _written_last,
    **dict.fromkeys((f"nn.functional.max_unpool{dims}d" for dims in (1, 2, 3)), _last_unpooled),
    **dict.fromkeys(
        (f"nn.functional.linear_cross_entropy:{variant}" for variant in ("chunked", "chunked_none")),
        lambda *arguments, options, **rest: peer("torch").nn.functional.linear_cross_entropy(*arguments, **rest),
    ),
}


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

_COMPLEX = "dtypes are real: complex numbers are pairs, which nbgrad.complex makes"
_SPARSE = "sparse arrays do not exist here"
_INTERNAL = "torch's own, behind other functions, and no part of its documented names"
_DTYPE = "NumPy has no such dtype"
_GPU = "compiles C++ text for GPUs: nbgrad.elementwise makes kernels of Python formulas"
_MEMORY = "is about how torch lays out memory"

#: Entries that do not exist here, each with the reason.
ABSENT: dict[str, str] = {
    **dict.fromkeys(("cdouble", "cfloat", "chalf"), _COMPLEX),
    **dict.fromkeys(("to_sparse", "sparse.mm", "sparse.sampled_addmm"), _SPARSE),
    "bfloat16": _DTYPE,
    "__rdiv__": "Python 2 called it, Python 3 calls __rtruediv__",
    **dict.fromkeys(("resize_", "resize_as_"), "what is written in place keeps its shape"),
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
            "_batch_norm_with_update", "_chunk_cat", "_native_batch_norm_legit",
            "_softmax_backward_data", "_unsafe_masked_index", "_unsafe_masked_index_put_accumulate",
            "_upsample_bilinear2d_aa", "max_pool2d_with_indices_backward", "native_batch_norm",
            "native_dropout_backward", "native_group_norm", "native_layer_norm", "torch.ops.aten._safe_softmax.default",
        ),
        _INTERNAL,
    ),
}  # fmt: skip

#: Entries that are not there yet.
TO_COME: set[str] = set()

# ---- what disagrees, and why ----------------------------------------------------------------------------------------


class Disagreement(NamedTuple):
    """A reason, what the sample or the error says where it holds, and of which samples."""

    says: str
    reason: str
    #: Whether it holds of a sample.
    holds: Callable[[Any], bool] = lambda sample: True
    #: Whether it is about derivatives that torch's own suite leaves out, which is looked up: values have to agree.
    by_values: bool = False


#: Samples that disagree, by operation.
DISAGREEMENTS: dict[str, tuple[Disagreement, ...]] = {
    "cov": (
        Disagreement("aweights=float32[2]", "where differences cancel, both have the rounding errors of float32",
                     by_values=True),
    ),
    "histogramdd": (
        Disagreement("in ascending order", "edges that do not ascend, as torch's documentation asks, are refused"),
    ),
    "half": (Disagreement("float16 has no gradients", "gradients have float32 or float64", by_values=True),),
    "as_strided:partial_views": (
        Disagreement("as_strided", "these samples are views whose memory is larger, which arrays of ours are not",
                     lambda sample: sample.input.untyped_storage().nbytes() > sample.input.nbytes),
    ),
}  # fmt: skip

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


def _is_taken(entry: Any, sample: Any) -> bool:
    """Tell whether the reason why an entry's wrong inputs are taken holds of one."""
    if entry.name == "mean":
        return not sample.input.is_floating_point()
    return entry.name in ACCEPTED and any(isinstance(x, bool | int | float) for x in (sample.input, *sample.args))


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
    if isinstance(value, torch.nn.PairwiseDistance):
        return nbgrad.nn.PairwiseDistance(value.norm, value.eps, value.keepdim)
    if isinstance(value, dict):  # there is one layout here, which has no name
        return {name: converted(part) for name, part in value.items() if part is not torch.strided}
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
    theirs = 0.0 if wanted is None else wanted.detach().clone().numpy(force=True)  # without memory, maybe
    if found is not None and wanted is not None:
        assert mine.shape == theirs.shape, f"{what}: shape {mine.shape}, torch's is {theirs.shape}"
    finite = np.abs(theirs)[np.isfinite(theirs)]
    rtol, atol = tolerance
    np.testing.assert_allclose(mine, theirs, rtol, atol * max(1.0, float(finite.max(initial=0))), err_msg=what)


#: Which argument is read by half only.
READ_BY_HALF = {"cholesky_inverse": 0, "cholesky_solve": 1}


def _prepared(entry: Any, module: Any, options: dict[str, Any], arguments: list[Any]) -> list[Any]:
    """Give arguments as torch's own check of gradients does: triangles, and logarithms of probabilities of logits."""
    place = READ_BY_HALF.get(entry.name)
    if place is not None:
        triangle = module.triu if options.get("upper") or any(x is True for x in arguments) else module.tril
        arguments = [triangle(x) if i == place else x for i, x in enumerate(arguments)]
    if entry.name == "nn.functional.ctc_loss":
        arguments = [module.nn.functional.log_softmax(arguments[0], 2), *arguments[1:]]
    return arguments


def checked_order(entry: Any) -> int:
    """Give up to which order torch's own suite checks an entry's gradients, and expects them to be right."""
    return next((order - 1 for order, name in _CHECKS.items() if _leaves_out(entry, name)), 2)


#: The checks of gradients in torch's suite, by order.
_CHECKS = {1: "test_fn_grad", 2: "test_fn_gradgrad"}


def _leaves_out(entry: Any, name: str) -> bool:
    """Tell whether torch's own suite leaves out a check of an entry's gradients, or expects it to fail."""
    return any(
        getattr(d, "cls_name", None) == "TestBwdGradients"
        and d.test_name in (name, None)
        and d.device_type in ("cpu", None)
        and (d.dtypes is None or peer("torch").float64 in d.dtypes)
        and any(getattr(x, "__name__", "") in ("expectedFailure", "decorator") for x in d.decorators)  # as skips are
        for d in entry.decorators
    )


class Pair(NamedTuple):
    """What both libraries made of one sample."""

    outputs: list[Any]
    inputs: list[Any]

    def recorded(self) -> list[Any]:
        return [y for y in self.outputs if y.requires_grad]


def compare(
    entry: Any, function: Callable[..., Any], sample: Any, dtype: str, order: int = 2,
    plainly: Callable[..., Any] | None = None,
) -> int:  # fmt: skip
    """Hold one sample's values, first gradients, and second ones where torch has them, against torch's.

    Torch's are the entry's, or those of the same `plainly` made. Gives the order up to which there was something to
    compare. Raises AssertionError where they disagree.
    """
    torch = peer("torch")
    given = [sample.input, list(sample.args), dict(sample.kwargs)]
    ours = converted(given)
    process = COMPARED.get(entry.name, lambda result: result)
    expected = process(
        (plainly or entry)(*_prepared(entry, torch, sample.kwargs, [given[0], *given[1]]), **sample.kwargs)
    )
    found = process(function(*_prepared(entry, nbgrad, sample.kwargs, [ours[0], *ours[1]]), **ours[2]))
    theirs = Pair(leaves(expected, torch.Tensor), [x for x in leaves(given, torch.Tensor) if x.requires_grad])
    mine = Pair(leaves(found, Variable), [x for x in leaves(ours, Variable) if x.requires_grad])
    if not theirs.outputs and not mine.outputs:
        np.testing.assert_equal(found, expected)
    count = len(mine.outputs), len(theirs.outputs)
    assert count[0] == count[1], f"{count[0]} results, torch's are {count[1]}"
    single = any(x.dtype == torch.float32 for x in leaves(given, torch.Tensor))
    dtype = "float32" if single else dtype
    wider = WIDER.get((entry.name, dtype))
    tolerance = TOLERANCE[dtype] if wider is None else wider.tolerance
    for y, z in zip(theirs.outputs, mine.outputs, strict=True):
        assert (z.shape, f"torch.{z.dtype}") == (tuple(y.shape), str(y.dtype)), (
            f"{z.dtype} of shape {z.shape}, torch's is {y.dtype} of {tuple(y.shape)}"
        )
        if not undetermined(entry, sample):
            equal(z, y, tolerance, "value")
    if order == 0 or undetermined(entry, sample) or not theirs.recorded() or not theirs.inputs:
        return 0
    drawn = np.random.default_rng(0)
    pairs = [
        (y, z, drawn.uniform(0.5, 2, tuple(y.shape)).astype(str(z.dtype)))
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
    drawn = np.random.default_rng(1)
    weights = [drawn.uniform(0.5, 2, tuple(x.shape)).astype(str(x.dtype).removeprefix("torch.")) for x in inputs]
    recorded = [(g, w) for g, w in zip(by_torch, weights, strict=True) if g is not None and g.requires_grad]
    wanted: Any = [None] * len(inputs)
    if recorded:
        try:
            wanted = torch.autograd.grad(
                [g for g, _ in recorded], inputs, [torch.tensor(w) for _, w in recorded], allow_unused=True
            )
        except RuntimeError as error:
            if "not implemented" not in str(error):
                raise
            return 1  # torch has none
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
    #: Whether it agrees up to the order that torch's own suite checks, and is wrong above only.
    by_values: bool = False

    @property
    def agrees(self) -> bool:
        return self.by_values or not self.error


#: Operations of which torch's own gradients take Python's floats for float32, and fail with another default.
SINGLE = {"linalg.det", "nn.functional.grid_sample", "grid_sampler_2d", "grid_sampler_3d"}


def outcome(entry: Any, function: Callable[..., Any], sample: Any, dtype: str, order: int = 2) -> Outcome:
    """Compare one sample, and give what came of it."""
    torch = peer("torch")
    before = torch.get_default_dtype()
    try:
        if dtype == "float32" and entry.name in SINGLE:
            torch.set_default_dtype(torch.float32)
        plainly, checked = PLAINLY.get(name_of(entry)), checked_order(entry)
        if plainly is None or checked >= order:
            return Outcome(compare(entry, function, sample, dtype, order))
        _compare_as_far_as_checked(entry, function, sample, dtype)
        return Outcome(compare(entry, function, sample, dtype, order, plainly))
    except Exception as error:
        given = f"{told(sample.input)}, {told(sample.args)}, {told(sample.kwargs)}"
        text = f"{name_of(entry)} {dtype}: {given}: {type(error).__name__}: {' '.join(str(error).split())}"
        known = {name: DISAGREEMENTS.get(name, ()) for name in (name_of(entry), entry.name)}
        by_values = checked_order(entry) < order and _agrees_as_far_as_checked(entry, function, sample, dtype)
        for d in (d for ds in known.values() for d in ds):
            if d.says in text and d.holds(sample) and (by_values or not d.by_values):
                return Outcome(0, text, d.reason, by_values)
        return Outcome(0, text)
    finally:
        torch.set_default_dtype(before)


def _compare_as_far_as_checked(entry: Any, function: Callable[..., Any], sample: Any, dtype: str) -> None:
    """Compare up to the order to which torch's own suite checks the entry's gradients."""
    order = checked_order(entry)
    if order == 0:  # inputs that have no gradients
        tensor = peer("torch").Tensor
        sample = sample.transform(lambda value: value.detach() if isinstance(value, tensor) else value)
    compare(entry, function, sample, dtype, order)


def _agrees_as_far_as_checked(entry: Any, function: Callable[..., Any], sample: Any, dtype: str) -> bool:
    """Tell whether a sample agrees up to the order to which torch's own suite checks the entry's gradients."""
    try:
        _compare_as_far_as_checked(entry, function, sample, dtype)
    except Exception:
        return False
    return True


def outcomes(entry: Any, function: Callable[..., Any], dtype: str, most: int = MOST, order: int = 2) -> list[Outcome]:
    """Compare an entry's samples of a dtype, which are the same in every run."""
    torch = peer("torch")
    kind = getattr(torch, dtype)
    if kind not in entry.supported_dtypes("cpu"):
        return []
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (which is what torch's samples draw from)
    has_gradient = entry.supports_autograd and kind in entry.supported_backward_dtypes("cpu")
    samples = entry.sample_inputs("cpu", kind, requires_grad=has_gradient)
    return [outcome(entry, function, sample, dtype, order) for _, sample in zip(range(most), samples, strict=False)]


class Refusal(NamedTuple):
    """What became of a wrong input: nothing, as it was refused, or what was taken, and the reason if it is known."""

    taken: str = ""
    reason: str = ""


def refusals(entry: Any, function: Callable[..., Any]) -> Iterator[Refusal]:
    """Try an entry's wrong inputs."""
    for wrong in entry.error_inputs("cpu") if entry.error_inputs_func else ():
        sample = wrong.sample_input
        try:
            ours = converted([sample.input, list(sample.args), dict(sample.kwargs)])
            function(ours[0], *ours[1], **ours[2])
        except (TypeError, ValueError, IndexError, RuntimeError):
            yield Refusal()
        else:
            given = f"{told(sample.input)}, {told(sample.args)}, {told(sample.kwargs)}"
            reason = ACCEPTED[entry.name] if _is_taken(entry, sample) else ""
            yield Refusal(f"{name_of(entry)}: {given}: {wrong.error_regex}", reason)
