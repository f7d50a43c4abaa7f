"""NumPy's functions on Variables: every one works as on arrays, with its gradient, or says what there is instead."""

import io
from importlib import import_module

import cases
import numpy as np
import pytest
from cases import draw
from numpy_calls import ALL_UFUNCS, CALLS, DISPATCHED, MATRIX, NAMES, SQUARE, VECTOR
from peers import peer
from workers import run_python

import nbgrad
from nbgrad import Variable
from nbgrad.interop.rules import LATER, choosing, folding, moving, rule_of
from nbgrad.interop.rules.constant import CONSTANT
from nbgrad.interop.rules.ufuncs import UFUNCS

IMPORTED_LATER = {file: import_module(f"nbgrad.interop.rules.{file}").RULES for file in LATER}
RULES = [f for rules in (moving.RULES, folding.RULES, choosing.RULES, *IMPORTED_LATER.values()) for f in rules]


def called(name, x):
    return CALLS.get(name, lambda f, x: f(x))(DISPATCHED[name], x)


def outcome(name, x):
    try:
        return called(name, x)
    except (ValueError, TypeError, np.linalg.LinAlgError) as error:  # of what NumPy does not do for arrays either
        return type(error).__name__


def parts(result):
    return list(result) if isinstance(result, list | tuple) else [result]


def arrays_of(result):
    return [part.data if isinstance(part, Variable) else part for part in parts(result)]


def same(actual, expected):
    for mine, other in zip(arrays_of(actual), arrays_of(expected), strict=True):
        if isinstance(other, np.ndarray | np.generic):
            assert mine.shape == other.shape and mine.dtype == other.dtype
            np.testing.assert_allclose(mine, other, rtol=1e-6 if other.dtype == np.float32 else 1e-12, atol=1e-14)
        else:
            assert mine == other


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_every_function_works_as_on_arrays_or_names_what_exists(name):
    function, x = DISPATCHED[name], Variable(MATRIX.copy())
    if rule_of(function) is not None:
        same(called(name, x), called(name, MATRIX))
        made = parts(called(name, x))
        assert any(isinstance(part, Variable) and part.requires_grad for part in made) or (
            function in CONSTANT  # np.full_like of a number
        )
        assert function in CONSTANT or all(
            isinstance(part, Variable) or part.dtype.kind in "ib" or not part.size for part in made
        )
    elif function in CONSTANT:
        same(called(name, x), called(name, MATRIX))
        assert not any(isinstance(part, Variable) for part in parts(called(name, x)))
        if not name.startswith(("np.array2", "np.array_", "np.save")):  # text shows digits
            nearby = Variable(MATRIX + 1e-9)
            same(called(name, nearby), called(name, x))
    else:
        with pytest.raises(TypeError, match=r"does not work on Variables that require a gradient: .+; where no grad"):
            called(name, x)
        constant, array = Variable(MATRIX.copy(), requires_grad=False), MATRIX.copy()
        np.testing.assert_equal(outcome(name, constant), outcome(name, array))
        np.testing.assert_array_equal(constant.data, array)  # where it was changed in place
        with nbgrad.no_grad():
            np.testing.assert_equal(outcome(name, x), outcome(name, MATRIX.copy()))


DIFFERENTIABLE = [
    name for name in NAMES if rule_of(DISPATCHED[name]) and DISPATCHED[name] not in CONSTANT and name != "np.astype"
]


#: Second derivatives need kernels of their own: most are for long runs.
to_orders = pytest.mark.parametrize("order", [1, pytest.param(2, marks=pytest.mark.slow)])


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@to_orders
def test_gradients_of_functions_agree_with_differences(name, order):
    def joined(x):
        found = [part.reshape(-1) for part in parts(called(name, x)) if isinstance(part, Variable)]
        return found[0] * found[0] if len(found) == 1 else nbgrad.cat([part * part for part in found])

    cases.check_gradients(joined, [MATRIX], order)


def test_all_functions_are_listed():
    assert len(DISPATCHED) > 250
    assert set(CALLS) <= set(DISPATCHED)
    elsewhere = {np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.lib.stride_tricks.sliding_window_view}
    assert set(RULES) - elsewhere <= set(DISPATCHED.values())
    assert {f for f in CONSTANT if not isinstance(f, np.ufunc)} <= set(DISPATCHED.values())


@pytest.mark.parametrize("file", LATER)
def test_rules_that_are_imported_later_are_found_by_their_names(file):
    assert set(LATER[file].split()) == {function.__name__ for function in IMPORTED_LATER[file]}
    assert not set(LATER[file].split()) & {f.__name__ for f in RULES if f not in IMPORTED_LATER[file]}


@pytest.mark.parametrize("name", ALL_UFUNCS)
@pytest.mark.filterwarnings("ignore")
def test_every_ufunc_works_as_on_arrays_or_names_what_exists(name):
    ufunc = ALL_UFUNCS[name]
    arrays = [draw(cases.UNIT, (3,), seed=i) for i in range(ufunc.nin)]
    arrays = [np.abs(a) for a in arrays] if name != "acosh" else [np.array([1.5, 2, 3])]
    if ufunc is np.ldexp:
        arrays[1] = np.array([3, -2, 0])
    if ufunc in (np.matvec, np.vecmat):
        arrays = [SQUARE if (i == 0) == (ufunc is np.matvec) else VECTOR[:3] for i in range(2)]
    variables = [Variable(a) for a in arrays]
    if ufunc in UFUNCS and ufunc not in (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert):
        result = ufunc(*variables)
        assert isinstance(parts(result)[0], Variable)
        same(result, ufunc(*arrays))
    elif ufunc in CONSTANT:
        same(ufunc(*variables), ufunc(*arrays))
        assert not isinstance(ufunc(*variables), Variable)
    else:
        with pytest.raises(TypeError):
            ufunc(*variables)


#: Calls with the arguments that NumPy's functions have, and whether nbgrad has them too.
ARGUMENTS = {
    "sum axis=None": lambda x: np.sum(x, axis=None),
    "sum axis, dtype": lambda x: np.sum(x, 0, np.float64),
    "sum out=None, keepdims": lambda x: np.sum(x, 0, None, None, True),
    "sum over no axis": lambda x: np.sum(x, axis=()),
    "mean axis=None, keepdims": lambda x: np.mean(x, axis=None, keepdims=True),
    "mean of NumPy's number": lambda x: np.mean(x, np.int64(1)),
    "max axis=None": lambda x: np.max(x, axis=None),
    "min axes": lambda x: np.min(x, axis=(0, 1)),
    "prod axis": lambda x: np.prod(x, axis=-1),
    "cumsum": lambda x: np.cumsum(x),
    "cumsum axis=None, out=None": lambda x: np.cumsum(x, axis=None, out=None),
    "cumsum axis, dtype": lambda x: np.cumsum(x, 1, np.float64),
    "cumprod dtype": lambda x: np.cumprod(x, dtype=np.float64),
    "add.accumulate": lambda x: np.add.accumulate(x),
    "multiply.accumulate axis": lambda x: np.multiply.accumulate(x, axis=-1),
    "maximum.accumulate": lambda x: np.maximum.accumulate(x, 1),
    "minimum.accumulate": lambda x: np.minimum.accumulate(x, axis=0),
    "var ddof": lambda x: np.var(x, 0, ddof=1, keepdims=True),
    "std correction": lambda x: np.std(x, axis=None, correction=1),
    "squeeze axis=None": lambda x: np.squeeze(x[:, :1], axis=None),
    "transpose axes=": lambda x: np.transpose(x, axes=(1, 0)),
    "transpose axes=None": lambda x: np.transpose(x, axes=None),
    "swapaxes axis1=": lambda x: np.swapaxes(x, axis1=0, axis2=1),
    "reshape shape=": lambda x: np.reshape(x, shape=(4, 3)),
    "reshape order=": lambda x: np.reshape(x, -1, order="C"),
    "dot with a number": lambda x: np.dot(x, 2.0),
    "dot from the left": lambda x: np.dot(np.float64(2), x),
    "dot without dimensions": lambda x: np.dot(x[0, 0], x[1, 1]),
    "dot of stacks": lambda x: np.dot(x.reshape(1, 3, 4), x.reshape(2, 2, 3).transpose(0, 2, 1)[..., :2].reshape(4, 3)),
    "dot of more dimensions": lambda x: np.dot(x.reshape(2, 2, 3), x.reshape(2, 3, 2)),
    "inner of more dimensions": lambda x: np.inner(x.reshape(3, 2, 2), x.reshape(6, 2)),
    "inner with a number": lambda x: np.inner(x, 3.0),
    "full_like of an element": lambda x: np.full_like(x, x[0, 0]),
    "where of numbers": lambda x: np.where(MATRIX, x, [1.0, 2.0, 3.0, 4.0]),
    "clip min=": lambda x: np.clip(x, min=0.5),
    "diff n=": lambda x: np.diff(x, 2, axis=0),
    "diff prepend, append": lambda x: np.diff(x, prepend=0, append=x[:, :1]),
    "diff n=0": lambda x: np.diff(x, 0) * x,
    "diag of a vector": lambda x: np.diag(x[0], -1),
    "rot90 axes": lambda x: np.rot90(x, 3, axes=(1, 0)),
    "pad edge": lambda x: np.pad(x, 2, mode="reflect"),
    "tril k=": lambda x: np.tril(x, k=-1),
    "triu of a vector": lambda x: np.triu(x[0]),
    "take axis=None": lambda x: np.take(x, np.array([[0, 5], [11, 5]])),
    "take_along_axis None": lambda x: np.take_along_axis(x, np.array([3, 0]), axis=None),
    "sort axis=None": lambda x: np.sort(x, axis=None),
    "concatenate dtype": lambda x: np.concatenate([x, x], dtype=np.float64),
    "vstack of scalars": lambda x: np.vstack([x[0, 0], 2.0]),
    "stack out=None": lambda x: np.stack([x, x], axis=-1, out=None),
    "unstack axis": lambda x: np.unstack(x, axis=1)[2],
    "average": lambda x: np.average(x, axis=0),
    "float_power": lambda x: np.float_power(x, 2),
    "trace offset": lambda x: np.trace(x, offset=1),
    "linalg.trace": lambda x: np.linalg.trace(x.reshape(3, 2, 2)),
    "sum where, initial": lambda x: np.sum(x, 0, where=MATRIX > 0, initial=2.0),
    "prod where": lambda x: np.prod(x, axis=1, where=MATRIX > 0),
    "prod initial": lambda x: np.prod(x, 1, initial=x[0, 0]),
    "mean where": lambda x: np.mean(x, 1, where=MATRIX > -2, keepdims=True),
    "max where, initial": lambda x: np.max(x, 0, initial=-1.0, where=MATRIX < 1),
    "min initial": lambda x: np.min(x, 1, None, True, 0.25),
    "var where": lambda x: np.var(x, 1, where=MATRIX > -2, ddof=1),
    "std mean": lambda x: np.std(x, 0, mean=np.mean(x, 0, keepdims=True)),
    "average of rows": lambda x: np.average(x, 1, weights=x[0] * x[0] + 1),
    "average returned": lambda x: np.average(x, 1, weights=np.exp(x), returned=True)[1],
    "add.reduce": lambda x: np.add.reduce(x),
    "logaddexp.reduce": lambda x: np.logaddexp.reduce(x, axis=1),
    "multiply.outer": lambda x: np.multiply.outer(x, x[0]),
    "a ufunc's dtype": lambda x: np.add(x, MATRIX, dtype=np.float64),
    "reshape in Fortran's order": lambda x: np.reshape(x, (4, 3), order="F"),
    "ravel in Fortran's order": lambda x: np.ravel(x, "F"),
    "pad with numbers": lambda x: np.pad(x, 1, constant_values=3.0),
    "pad wrap": lambda x: np.pad(x, ((0, 2), (3, 0)), mode="wrap"),
    "take wrap": lambda x: np.take(x, [-1, 5], 0, mode="wrap"),
    "insert a Variable": lambda x: np.insert(x, [1, 3], x[:, :2], axis=1),
    "quantiles": lambda x: np.quantile(x, [0.1, 0.5, 1.0], axis=1),
    "quantile by another method": lambda x: np.quantile(x, 0.37, axis=(0, 1), method="hazen", keepdims=True),
    "median axes": lambda x: np.median(x, axis=(0, 1)),
    "einsum in its other form": lambda x: np.einsum(x, [0, 1], x, [2, 1], [0, 2]),
    "einsum of diagonals": lambda x: np.einsum("ii,jj->ij", x[:, :3], x[:, 1:]),
    "einsum of three": lambda x: np.einsum("ij,kj,kl", x, x, x),
    "einsum of stacks": lambda x: np.einsum("...ij,...jk->...ik", x.reshape(2, 2, 3), x.reshape(2, 3, 2)),
    "einsum without a sum": lambda x: np.einsum("i,jk->kij", x[0], x),
    "gradient of second order": lambda x: np.gradient(x, axis=1, edge_order=2),
    "gradient over places": lambda x: np.gradient(x[:, 1], x[:, 0] * x[:, 0] + np.array([0, 9.0, 20]), edge_order=2),
    "gradient of both": lambda x: np.gradient(x, 2.0, [1.0, 2.0, 4.0, 5.0])[1],
    "trapezoid over places": lambda x: np.trapezoid(x[0], x[1]),
    "trapezoid over columns": lambda x: np.trapezoid(x, np.array([0.0, 1.0, 3.0]), axis=0),
    "interp by all three": lambda x: np.interp(x, np.array([-3.0, 0, 3]) + x[0, 0] * 0.01, x[:, 0]),
    "interp left and right": lambda x: np.interp(x, [-1.0, 1.0], [2.0, 3.0], left=0.0, right=5.0) * x,
    "convolve valid": lambda x: np.convolve(x[0], x[1, :2], "valid"),
    "convolve same": lambda x: np.convolve(x[0, :3], x[1], "same"),
    "correlate": lambda x: np.correlate(x[0], x[1, :3]),
    "correlate same": lambda x: np.correlate(x[0, :3], x[1], "same"),
    "correlate full": lambda x: np.correlate(x[0], x[1, :3], "full"),
    "select": lambda x: np.select([MATRIX > 1, MATRIX < 0], [x, x * x], 7.0),
    "choose": lambda x: np.choose(np.array([0, 2, 1, 0]), [x[0], x[1], 3.0]),
    "piecewise": lambda x: np.piecewise(x, [MATRIX > 0], [np.square, np.sin]),
    "cross along an axis": lambda x: np.cross(x, x * x, axis=0),
    "kron of dimensions": lambda x: np.kron(x[0], x),
    "block": lambda x: np.block([[x, x[:, :1]], [x[:1] * 2, 3.0 * x[1:2, 1:2]]]),
    "array of elements": lambda x: np.array([x[0, 0], 2.0, x[1, 1]], like=x),
    "concatenate of a list": lambda x: np.concatenate([[x[0, 0]], x[1]]),
    "stack of lists": lambda x: np.stack([[x[0, 0], 1.0], x[0, 1:3]]),
    "norm ord=1": lambda x: np.linalg.norm(x, 1),
    "norm of columns": lambda x: np.linalg.norm(x, axis=0),
    "norm ord=3": lambda x: np.linalg.norm(x, 3, axis=1, keepdims=True),
    "norm nuc": lambda x: np.linalg.norm(x, "nuc"),
    "norm 2": lambda x: np.linalg.norm(x, 2),
    "norm inf of a vector": lambda x: np.linalg.norm(x[0], np.inf),
    "cond in another norm": lambda x: np.linalg.cond(x[:, :3], 1),
    "matrix_power -2": lambda x: np.linalg.matrix_power(x[:, :3], -2),
    "multi_dot of vectors": lambda x: np.linalg.multi_dot([x[:, 0], x, x.T, x[:, 1]]),
    "qr of wide ones": lambda x: np.linalg.qr(x)[1],
    "qr of high ones": lambda x: np.linalg.qr(x.T)[0],
    "lstsq of wide ones": lambda x: np.linalg.lstsq(x, x[:, 0] * x[:, 1])[0],
    "lstsq of high ones": lambda x: np.linalg.lstsq(x.T, x[:2].T)[0],
    "pinv": lambda x: np.linalg.pinv(x),
    "solve of stacks": lambda x: np.linalg.solve(SQUARE + np.zeros((2, 1, 1)), x),
    "inv of stacks": lambda x: np.linalg.inv(x.reshape(3, 2, 2)),
    "det of stacks": lambda x: np.linalg.det(x.reshape(3, 2, 2)),
    "singular values": lambda x: np.linalg.svd(x, compute_uv=False),
    "polyfit": lambda x: np.polyfit(x[0], x[1], 2),
    "polyval": lambda x: np.polyval(x[0], x),
    "polydiv": lambda x: np.polydiv(x[0], x[1, :2])[1],
    "vander increasing": lambda x: np.vander(x[0], 3, increasing=True),
    "linspace": lambda x: np.linspace(x[0], x[1], 5, axis=1),
    "apply_along_axis": lambda x: np.apply_along_axis(lambda v: v[:2] * v[1], 1, x),
    "fmax": lambda x: np.fmax(x, np.where(MATRIX > 1, np.nan, 0.1)),
    "nansum": lambda x: np.nansum(np.where(MATRIX > 1, np.nan, x), 0),
    "nanmean": lambda x: np.nanmean(np.where(MATRIX > 1, np.nan, x), 1),
    "nanstd": lambda x: np.nanstd(np.where(MATRIX > 2, np.nan, x)),
    "nanmedian": lambda x: np.nanmedian(np.where(MATRIX > 1, np.nan, x), 1),
    "nan_to_num": lambda x: np.nan_to_num(np.where(MATRIX > 1, np.nan, x), nan=2.0),
    "modf": lambda x: np.modf(x)[0],
    "ldexp": lambda x: np.ldexp(x, [1, -2, 3, 0]),
    "divmod": lambda x: np.divmod(x, x[::-1] * x + 5)[1],
    "copysign": lambda x: np.copysign(x, -MATRIX),
    "fmod": lambda x: np.fmod(x, 0.7),
    "logaddexp2": lambda x: np.logaddexp2(x, x[0]),
    "heaviside": lambda x: np.heaviside(np.where(MATRIX > 0, MATRIX, 0), x),
    "sinc": lambda x: np.sinc(x),
    "cov of both": lambda x: np.cov(x, x[:1] * x[1:2], ddof=0),
    "corrcoef": lambda x: np.corrcoef(x, rowvar=False),
}


@pytest.mark.parametrize("name", ARGUMENTS)
@to_orders
def test_arguments_of_functions(name, order):
    call = ARGUMENTS[name]
    x = Variable(MATRIX.copy())
    result = call(x)
    assert isinstance(result, Variable) and result.requires_grad
    same(result, call(MATRIX))
    cases.check_gradients(lambda x: call(x) * call(x), [MATRIX], order)


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_functions_keep_dtypes(dtype):
    array = MATRIX.astype(dtype)
    for call in (np.var, np.tril, np.sort, np.linalg.trace, lambda x: np.pad(x, 1), lambda x: np.dot(x, 2.0)):
        same(call(Variable(array)), call(array))


def test_functions_of_one_compiled_program(kernels):
    def program(x):
        pieces = [*np.split(np.flip(x, 1), [1]), np.roll(x, 1, 0), np.tril(x), np.hstack([x, x[:, :1]])[:, 1:]]
        joined = np.vstack([*pieces, np.sort(x, 1), np.clip(x, -1.0, 1.0), np.pad(x, ((0, 0), (1, 0)))[:, :4]])
        products = np.tensordot(joined, x, ([1], [1])) + np.dot(np.outer(joined[:, 0], [1.0, 2.0, 3.0]), 2.0)
        total = np.sum(products) + np.ptp(x) + np.average(x, weights=x * x) + np.trace(np.arcsinh(x))
        return total + np.inner(x, x)[0, 1] + np.var(x) + np.std(x, 0, ddof=1)[0]

    compiled = nbgrad.jit(nbgrad.value_and_grad(program))
    value, gradient = compiled(MATRIX)
    expected, slopes = nbgrad.value_and_grad(program)(MATRIX)
    np.testing.assert_allclose(value, program(MATRIX), rtol=1e-12)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-11)


def calls():
    """Give all functions, and the arguments that were tried, as functions of one array."""
    named = {name: (lambda x, name=name: called(name, x)) for name in DIFFERENTIABLE}
    return named | {f"{name} (arguments)": call for name, call in ARGUMENTS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["int64", "float32"])
@pytest.mark.filterwarnings("ignore")
def test_other_dtypes_are_numpys(dtype):
    x = (3 * MATRIX).astype(dtype)
    for name, call in calls().items():
        try:
            expected = parts(call(x.copy()))
        except (TypeError, ValueError, np.linalg.LinAlgError):
            continue  # NumPy does not take it
        for mine, other in zip(arrays_of(call(Variable(x.copy()))), map(np.asarray, expected), strict=True):
            assert (np.shape(mine), np.asarray(mine).dtype) == (other.shape, other.dtype), name
            np.testing.assert_allclose(mine, other, rtol=2e-4, atol=1e-4, err_msg=name)


#: What is not compiled: its shape, or which formula holds, depends on elements.
NOT_COMPILED = {
    "np.bincount", "np.histogram", "np.histogram_bin_edges", "np.polydiv", "np.polyfit", "np.trim_zeros", "np.union1d",
    "np.unique", "np.unique_all", "np.unique_counts", "np.unique_inverse", "np.unique_values", "np.linalg.lstsq",
    "np.choose", "choose (arguments)", "polydiv (arguments)", "polyfit (arguments)", "lstsq of wide ones (arguments)",
    "lstsq of high ones (arguments)",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", calls())
@pytest.mark.filterwarnings("ignore")
def test_every_function_is_compiled_with_its_gradient_or_refused(name, kernels):
    def total(x):
        found = [part for part in parts(calls()[name](x)) if hasattr(part, "dtype") and part.dtype.kind == "f"]
        weights = [np.cos(np.arange(part.size) + i).reshape(part.shape) for i, part in enumerate(found)]
        return sum([(part * weight).sum() for part, weight in zip(found, weights, strict=True) if part.size])

    for f in (total, nbgrad.grad(total)):
        compiled = nbgrad.jit(f)
        for x in (MATRIX, MATRIX + 0.01):
            try:
                found = compiled(x.copy())
            except TypeError as error:
                assert name in NOT_COMPILED, error
                break
            np.testing.assert_allclose(found, f(x.copy()), rtol=1e-9, atol=1e-10)


#: What is refused where a gradient would be lost, and what the error names.
REFUSED = {
    "np.spacing": (np.spacing, "np.spacing does not work on Variables that require a gradient: nbgrad has no function"),
    "np.linalg.eigvals": (
        lambda x: np.linalg.eigvals(x[:, :3]),
        r"np.linalg.eigvals does not .*return_complex.*eigvalsh",
    ),
    "np.fft.rfft": (np.fft.rfft, "np.fft.rfft does not work .*: its result is complex, and nbgrad's dtypes are real"),
    "np.setdiff1d": (
        lambda x: np.setdiff1d(x, [1.0]),
        r"np.setdiff1d does not .*: find the places with arrays, np.unique\(x.data, return_index",
    ),
    "svd": (np.linalg.svd, r"np.linalg.svd of shape \(3, 4\): .* give full_matrices=False"),
    "ufunc's where": (lambda x: np.exp(x, where=MATRIX > 0), r"np.exp with \['where'\] does not work"),
    "a dtype that rounds": (
        lambda x: np.sum(x, dtype=int),
        r"np.sum with \['dtype'\] .* there it takes \(a, axis, dtype, ",
    ),
    "out": (lambda x: np.sum(x, 0, None, np.zeros(4)), "np.sum with these arguments does not work"),
    "copyto": (lambda x: np.copyto(np.zeros((3, 4)), x), r"np.copyto .* is written to be a Variable \(nbgrad.zeros\)"),
    "reduce": (
        lambda x: np.add.reduce(x, out=np.zeros(4)),
        r"np.add.reduce with \['out'\] does not work .* use np.sum",
    ),
    "ufunc's out": (lambda x: np.add(x, 1, out=np.zeros((3, 4))), r"np.add with \['out'\] .* out= takes a Variable"),
    "accumulate": (lambda x: np.add.accumulate(x, axis=None), r"np.add.accumulate with \[.axis.\] .* use np.cumsum"),
    "cumsum's out": (
        lambda x: np.cumsum(x, 0, out=np.zeros((3, 4))),
        r"np.cumsum with \['out'\] .* out is a Variable or None",
    ),
    "reduceat": (lambda x: np.multiply.reduceat(x, [0]), r"np.multiply.reduceat .* use nbgrad.mul and what follows"),
    "at": (lambda x: np.add.at(np.zeros(3), [0], x), r"np.add.at .* is written to be a Variable \(nbgrad.zeros\)"),
    "spacing": (np.spacing, "np.spacing does not work .* nbgrad has no function for it"),
    "floor's out": (lambda x: np.floor(x, out=np.zeros((3, 4))), r"np.floor with \['out'\] does not work"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_lose_a_gradient_is_refused(name):
    call, message = REFUSED[name]
    with pytest.raises(TypeError, match=message):
        call(Variable(MATRIX.copy()))


def test_arrays_are_changed_by_variables_that_record_nothing():
    array, x = MATRIX.copy(), nbgrad.tensor(MATRIX)
    array -= 0.5 * x
    np.testing.assert_array_equal(array, MATRIX / 2)
    w = Variable(MATRIX.copy())
    (w * w).sum().backward()
    w.data -= 0.25 * w.grad
    np.testing.assert_array_equal(w.data, MATRIX / 2)
    with pytest.raises(TypeError, match=r"np.subtract with \['out'\] does not work on Variables that require"):
        w.data -= w * 1.0
    assert np.exp(x, out=x) is x
    np.testing.assert_allclose(x.data, np.exp(MATRIX), rtol=1e-14)


# ---- writing --------------------------------------------------------------------------------------------------------

SOME = MATRIX > 0
WRITERS = {
    "put": lambda y, x: np.put(y, [0, 5, 5, -1], x[0] * 3),
    "put a number, positions that wrap around": lambda y, x: np.put(y, [0, 17], 7.0, mode="wrap"),
    "place": lambda y, x: np.place(y, SOME, x[0]),
    "putmask": lambda y, x: np.putmask(y, SOME, x * x),
    "put_along_axis": lambda y, x: np.put_along_axis(y, np.array([[1], [2], [0]]), x[:, :1] * 3, 1),
    "fill_diagonal": lambda y, x: np.fill_diagonal(y, x[0, :3]),
    "copyto": lambda y, x: np.copyto(y, x[0]),
    "copyto where": lambda y, x: np.copyto(y, x * x, where=SOME),
    "add.at": lambda y, x: np.add.at(y, ([0, 0, 1], [1, 1, 2]), x[0, :3]),
    "add.at of rows": lambda y, x: np.add.at(y, [0, 0, 1], x[0]),
    "subtract.at": lambda y, x: np.subtract.at(y, [0, 0, 1], 2.0),
    "multiply.at": lambda y, x: np.multiply.at(y, [0, 0, 1], x),
    "divide.at": lambda y, x: np.divide.at(y, [0, 0, 1], x),
    "maximum.at": lambda y, x: np.maximum.at(y, [0, 0, 1], x),
    "power.at": lambda y, x: np.power.at(y, [0, 1], 2.0),
    "exp.at": lambda y, x: np.exp.at(y, (slice(None), [1])),
    "out": lambda y, x: np.add(x, x * x, out=y),
    "out, which is an operand": lambda y, x: np.multiply(y, x, y),
    "out, which overlaps an operand": lambda y, x: np.multiply(y[1:], y[:-1], out=y[:-1]),
    "out, which is larger": lambda y, x: np.exp(x[0], out=y),
    "where": lambda y, x: np.log(x, out=y, where=SOME),
    "where, of numbers": lambda y, x: np.divide(1.0, x, out=y, where=SOME),
    "out of clip": lambda y, x: np.clip(y, -1, 1, out=y),
    "out of cumsum": lambda y, x: np.cumsum(x, 1, None, y),
    "out of modf": lambda y, x: np.modf(x * 3, out=(y, np.zeros_like(x))),
    "zeros_like": lambda y, x: np.log(x, out=np.zeros_like(x), where=SOME),
    "out of sum": lambda y, x: np.sum(x * x, axis=0, out=np.empty_like(x[0])),
    "out of dot": lambda y, x: np.dot(x, x.T, out=np.ones_like(x, shape=(3, 3))),
    "out of concatenate": lambda y, x: np.concatenate([x, x * x], out=np.full_like(x, 2.0, shape=(6, 4))),
    "out of reduce": lambda y, x: np.add.reduce(x * x, 0, out=np.empty_like(x[0])),
    "out of accumulate": lambda y, x: np.add.accumulate(x * x, 0, out=y),
    "elements of zeros_like": lambda y, x: [
        y.__setitem__((i, j), x[i, j] * x[j, i]) for i in range(3) for j in range(3)
    ],
    "flat": lambda y, x: [y.T.flat.__setitem__(slice(3, 5), x[0, :2] * 3), y.flat.__setitem__(0, 7.0)],
    "fill": lambda y, x: y.fill(x[0, 0]),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.filterwarnings("ignore")
def test_numpys_functions_write_into_variables(name):
    def function(x):
        y = x * 2.0
        result = WRITERS[name](y, x)
        return y if result is None or isinstance(result, list | tuple) else y + np.sum(result * result)

    np.testing.assert_allclose(function(Variable(MATRIX.copy())).data, function(MATRIX), rtol=1e-12)
    cases.check_gradients(lambda x: function(x) * np.cos(np.arange(12.0)).reshape(3, 4), [MATRIX], 1)


@pytest.mark.parametrize(
    "name", ["put", "putmask", "copyto where", "add.at", "out", "out of clip", "out of modf", "fill"]
)
def test_numpys_functions_write_in_compiled_functions(name):
    def function(x):
        y = x * 2.0
        WRITERS[name](y, x)
        return (y * y).sum()

    ours, expected = (f(MATRIX) for f in (nbgrad.jit(nbgrad.value_and_grad(function)), nbgrad.value_and_grad(function)))
    for mine, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)


WRITERS_REFUSED = {
    "a leaf": (lambda x: np.put(x, [0], 1.0), RuntimeError, "np.put: a leaf that requires a gradient .*no_grad"),
    "several": (lambda x: np.power.at(x * 1, [0, 0], 2.0), TypeError, "np.power.at: several values for one place"),
    "shape": (
        lambda x: np.sum(x, 0, out=nbgrad.zeros(3)),
        ValueError,
        r"np.sum with out=: the result has shape \(4,\)",
    ),
    "dtype": (lambda x: np.add(x, 1, out=nbgrad.arange(4)), TypeError, "np.add with out=: a Variable of dtype int64"),
    "where": (lambda x: np.log(x, where=SOME), TypeError, r"np.log with \['where'\] .* out= takes a Variable"),
    "casting": (lambda x: np.copyto(nbgrad.zeros(4, dtype=np.float32), x[0], "safe"), TypeError, "no 'safe' cast"),
    "memory": (lambda x: x.flags, AttributeError, r"no attribute 'flags': x.data, an array, has flags"),
}


@pytest.mark.parametrize("name", WRITERS_REFUSED)
def test_writes_that_cannot_be_are_refused(name):
    call, kind, message = WRITERS_REFUSED[name]
    with pytest.raises(kind, match=message):
        call(Variable(MATRIX.copy()))


@pytest.mark.parametrize(
    "name",
    """x.dot(x.T)  x.dot(x[0])  x.std(0,ddof=0)  x.var(axis=1,ddof=1)  x.take([1,0],axis=1)  x.take([1,5])  x.copy()
    x.compress([True,False,True],axis=0)  x[0].searchsorted(0.1)  x.argpartition(2)  x.itemsize  x.strides  x.flat[3]
    x.imag  x.real  divmod(x,0.3)  divmod(0.3,x)  round(x[0,0],1)  x[1,1]in(x)  (0.123)in(x)  x.conjugate()
    len(x.flat)  list(x[0].flat)""".split(),
)
def test_variables_have_the_methods_of_arrays(name):
    expected, x = eval(name, {"x": MATRIX}), Variable(MATRIX.copy())
    same(eval(name, {"x": x}), expected)


def test_an_array_of_variables_is_refused_naming_stack():
    x = Variable(np.ones(2))
    with pytest.raises(RuntimeError, match=r"losing the gradient unseen: .*; nbgrad.stack joins several"):
        np.array([x, x])
    assert np.array([x.detach(), x.detach()]).shape == (2, 2)


def test_files_take_leaves():
    file = io.BytesIO()
    np.save(file, Variable(MATRIX))
    file.seek(0)
    np.testing.assert_array_equal(np.load(file), MATRIX)


SPECIAL = {"gammaln": "lgamma", "psi": "digamma", "expit": "sigmoid"} | {
    name: name for name in ("erf", "erfc", "erfinv", "exp2", "expm1", "log1p", "cbrt")
}


@pytest.mark.parametrize("name", SPECIAL)
def test_ufuncs_of_scipy_with_a_counterpart(name):
    ufunc = getattr(peer("scipy.special"), name)
    array = draw(((0.2, 0.9),), (5,))
    x = Variable(array)
    y = ufunc(x)
    assert isinstance(y, Variable)
    np.testing.assert_allclose(y.data, ufunc(array), rtol=1e-13)
    np.testing.assert_array_equal(y.data, getattr(nbgrad, SPECIAL[name])(array))
    assert y.requires_grad


def test_ufuncs_of_scipy_are_compiled():
    special = peer("scipy.special")
    program = lambda x: (special.expit(x) * special.gammaln(x)).sum()  # noqa: E731
    value, slope = nbgrad.jit(nbgrad.value_and_grad(program))(VECTOR)
    np.testing.assert_allclose(value, program(VECTOR), rtol=1e-13)
    np.testing.assert_allclose(slope, nbgrad.grad(program)(VECTOR), rtol=1e-13)


def test_other_ufuncs_of_scipy_are_refused():
    with pytest.raises(TypeError, match=r"the ufunc mathieu_a does not work .* nbgrad has no function for it"):
        peer("scipy.special").mathieu_a(1, Variable(VECTOR))


def test_a_strangers_ufunc_is_not_taken_for_one_of_numpys_by_its_name():
    import numba

    @numba.vectorize(["float64(float64)"])
    def square(x):
        return 3 * x

    with pytest.raises(TypeError, match="the ufunc square does not work on Variables"):
        square(Variable(VECTOR))
    for call in (square, square.ufunc):
        np.testing.assert_array_equal(call(nbgrad.tensor(VECTOR)), 3 * VECTOR)
        np.testing.assert_array_equal(nbgrad.jit(lambda x, call=call: call(x))(VECTOR), 3 * VECTOR)
    with pytest.raises(TypeError, match=r"np.square has no counterpart in a formula"):
        nbgrad.elementwise(lambda x: square.ufunc(x))


def test_importing_nbgrad_spares_the_table():
    script = (
        "import sys, numpy as np, nbgrad; assert 'nbgrad.interop.numpy' not in sys.modules; "
        "assert np.sum(np.sin(nbgrad.ones(2))).shape == () and 'nbgrad.interop.numpy' in sys.modules; "
        "assert 'scipy' not in sys.modules"
    )
    run_python(script)


PIECES = [
    (lambda x: np.piecewise(x, [x < 0, x >= 1], [lambda v: v**2, np.sin, 2.0])),
    (lambda x: np.piecewise(x, [x < 0.0], [-1.0, lambda v: np.sqrt(v) * v])),
    (lambda x: np.piecewise(x, [x < 1.0, x < 0.0], [lambda v, a: v + a, lambda v, a: v * a], 3.0)),
    (lambda x: np.piecewise(x, np.array([-0.5, 0.2, 0.7, 3.0]) > 0, [np.log, np.cos])),
]


@pytest.mark.parametrize("number", range(len(PIECES)))
def test_piecewise_in_compiled_functions(kernels, number):
    """Values, gradients and second gradients as without, also where a function has none of what is not its own."""
    piecewise, x = PIECES[number], np.array([-0.5, 0.2, 0.7, 3.0])
    np.testing.assert_allclose(nbgrad.jit(piecewise)(x), piecewise(x), rtol=1e-12)

    def total(x):
        return (piecewise(x) ** 2).sum()

    def slope(x):
        return (nbgrad.grad(total)(x) * np.arange(4.0)).sum()

    for function in (total, slope):
        wanted = nbgrad.grad(function)(x)
        assert np.isfinite(wanted).all()
        np.testing.assert_allclose(nbgrad.jit(nbgrad.grad(function))(x), wanted, rtol=1e-12)


def test_piecewise_of_more_than_elements_is_refused_in_compiled_functions():
    """Such functions get their own elements alone, whose number no trace knows."""
    x = np.array([-0.5, 0.2, 0.7, 3.0])
    for function in (lambda v: v - v.mean(), lambda v: v[::-1], np.sum, lambda v: v.reshape(-1, 1) * v):
        with pytest.raises(TypeError, match="give one that goes element by element, or compute with"):
            nbgrad.jit(lambda x, f=function: np.piecewise(x, [x > 0], [f]))(x)
