"""NumPy's functions on Variables: every one works as on arrays, with its gradient, or says what there is instead."""

import io

import cases
import numpy as np
import pytest
from cases import draw
from peers import peer
from workers import run_python

import nbgrad
from nbgrad import Variable
from nbgrad.interop.rules import CONSTANT, RULES, UFUNCS

MATRIX = draw(cases.NONZERO, (3, 4))
SQUARE = draw(cases.POSITIVE, (3, 3)) + 3 * np.eye(3)
VECTOR = draw(cases.POSITIVE, (4,))

MODULES = (np, np.linalg, np.fft)
#: All functions of NumPy's that ask their arguments who is to answer (NEP 18), by name.
DISPATCHED = {
    f"{module.__name__}.{name}".replace("numpy", "np"): getattr(module, name)
    for module in MODULES
    for name in dir(module)
    if not name.startswith("_") and hasattr(getattr(module, name), "_implementation")
}
ALL_UFUNCS = {name: f for name, f in vars(np).items() if isinstance(f, np.ufunc) and name not in ("abs", "conj")}

#: How functions are called that take more than an array, or another one than MATRIX.
CALLS = {
    "np.allclose": lambda f, x: f(x, MATRIX),
    "np.append": lambda f, x: f(x, x),
    "np.apply_along_axis": lambda f, x: f(np.sum, 0, x),
    "np.apply_over_axes": lambda f, x: f(np.sum, x, [0]),
    "np.argpartition": lambda f, x: f(x, 2),
    "np.array_equal": lambda f, x: f(x, MATRIX),
    "np.array_equiv": lambda f, x: f(x, MATRIX),
    "np.array_split": lambda f, x: f(x, 3, 1),
    "np.astype": lambda f, x: f(x, np.float32),
    "np.average": lambda f, x: f(x, 1, VECTOR + x * x),
    "np.bincount": lambda f, x: f(np.arange(3), x[:, 0]),
    "np.block": lambda f, x: f([x, x]),
    "np.broadcast_to": lambda f, x: f(x, (2, 3, 4)),
    "np.can_cast": lambda f, x: f(x[0].data if isinstance(x, Variable) else x[0].dtype, np.float32),
    "np.choose": lambda f, x: f(np.array([0, 1, 0, 1]), x[:2]),
    "np.clip": lambda f, x: f(x, -1, 1),
    "np.column_stack": lambda f, x: f([x[:, 0], x[:, 1], x]),
    "np.compress": lambda f, x: f([True, False, True], x, 0),
    "np.concat": lambda f, x: f([x, MATRIX, x], 1),
    "np.concatenate": lambda f, x: f([x, MATRIX, x], axis=None),
    "np.convolve": lambda f, x: f(x[0], VECTOR),
    "np.copyto": lambda f, x: f(np.zeros((3, 4)), x),
    "np.correlate": lambda f, x: f(x[0], VECTOR),
    "np.cross": lambda f, x: f(x[0, :3], VECTOR[:3]),
    "np.delete": lambda f, x: f(x, 1, 0),
    "np.diag_indices_from": lambda f, x: f(x[:, :3]),
    "np.diagonal": lambda f, x: f(x, 1),
    "np.digitize": lambda f, x: f(x, np.array([-1.0, 0, 1])),
    "np.dot": lambda f, x: f(x, VECTOR),
    "np.dsplit": lambda f, x: f(x.reshape(1, 3, 4), 2),
    "np.dstack": lambda f, x: f([x, x * x]),
    "np.ediff1d": lambda f, x: f(x),
    "np.einsum": lambda f, x: f("ij->j", x),
    "np.einsum_path": lambda f, x: f("ij->j", x),
    "np.empty_like": lambda f, x: f(x).shape,
    "np.expand_dims": lambda f, x: f(x, (0, 2)),
    "np.extract": lambda f, x: f(MATRIX > 0, x),
    "np.fill_diagonal": lambda f, x: f(x, 0.0),
    "np.full_like": lambda f, x: f(x, 2.5),
    "np.geomspace": lambda f, x: f(abs(x[0, 0]), 3.0, 4),
    "np.gradient": lambda f, x: f(x, axis=1),
    "np.histogram2d": lambda f, x: f(x[0], x[1]),
    "np.hsplit": lambda f, x: f(x, [1, 3]),
    "np.hstack": lambda f, x: f([x[0], x[1], VECTOR]),
    "np.inner": lambda f, x: f(x, MATRIX),
    "np.insert": lambda f, x: f(x, 1, 0.0),
    "np.interp": lambda f, x: f(x, np.arange(3.0), np.arange(3.0)),
    "np.intersect1d": lambda f, x: f(x, MATRIX),
    "np.isclose": lambda f, x: f(x, MATRIX),
    "np.isin": lambda f, x: f(x, VECTOR),
    "np.ix_": lambda f, x: f(x[0], x[1]),
    "np.kron": lambda f, x: f(x, MATRIX),
    "np.lexsort": lambda f, x: f(x),
    "np.linspace": lambda f, x: f(x[0, 0], 3.0, 4),
    "np.logspace": lambda f, x: f(x[0, 0], 3.0, 4),
    "np.may_share_memory": lambda f, x: f(x, VECTOR),
    "np.meshgrid": lambda f, x: f(x[0], x[1]),
    "np.moveaxis": lambda f, x: f(x, 0, 1),
    "np.nanpercentile": lambda f, x: f(x, 30),
    "np.nanquantile": lambda f, x: f(x, 0.3),
    "np.outer": lambda f, x: f(x, [1.0, 2.0]),
    "np.pad": lambda f, x: f(x, ((1, 0), (0, 2))),
    "np.partition": lambda f, x: f(x, 2),
    "np.percentile": lambda f, x: f(x, 30),
    "np.piecewise": lambda f, x: f(x, [MATRIX > 0], [1.0, 2.0]),
    "np.place": lambda f, x: f(x, MATRIX > 0, 1.0),
    "np.poly": lambda f, x: f(x[0]),
    "np.polyadd": lambda f, x: f(x[0], VECTOR),
    "np.polyder": lambda f, x: f(x[0]),
    "np.polydiv": lambda f, x: f(x[0], VECTOR[:2]),
    "np.polyfit": lambda f, x: f(VECTOR, x[0], 1),
    "np.polyint": lambda f, x: f(x[0]),
    "np.polymul": lambda f, x: f(x[0], VECTOR),
    "np.polysub": lambda f, x: f(x[0], VECTOR),
    "np.polyval": lambda f, x: f(x[0], VECTOR),
    "np.put": lambda f, x: f(x, [0], 1.0),
    "np.put_along_axis": lambda f, x: f(x, np.zeros((1, 4), int), 1.0, 0),
    "np.putmask": lambda f, x: f(x, MATRIX > 0, 1.0),
    "np.quantile": lambda f, x: f(x, 0.3),
    "np.repeat": lambda f, x: f(x, 2, 1),
    "np.reshape": lambda f, x: f(x, (2, 6)),
    "np.resize": lambda f, x: f(x, (2, 3)),
    "np.result_type": lambda f, x: f(x, np.float32),
    "np.roll": lambda f, x: f(x, 1, 0),
    "np.rollaxis": lambda f, x: f(x, 1),
    "np.roots": lambda f, x: f(x[0]),
    "np.searchsorted": lambda f, x: f(np.arange(3.0), x),
    "np.select": lambda f, x: f([MATRIX > 0], [x]),
    "np.setdiff1d": lambda f, x: f(x, MATRIX),
    "np.setxor1d": lambda f, x: f(x, MATRIX),
    "np.shares_memory": lambda f, x: f(x, VECTOR),
    "np.sort": lambda f, x: f(x, 0),
    "np.split": lambda f, x: f(x, [1], 0),
    "np.stack": lambda f, x: f([x, MATRIX], 1),
    "np.swapaxes": lambda f, x: f(x, 0, 1),
    "np.take": lambda f, x: f(x, [2, 0, 0], 0),
    "np.take_along_axis": lambda f, x: f(x, np.zeros((3, 1), int), 1),
    "np.tensordot": lambda f, x: f(x, MATRIX, ([0], [0])),
    "np.tile": lambda f, x: f(x, (2, 1)),
    "np.trim_zeros": lambda f, x: f(x[0]),
    "np.union1d": lambda f, x: f(x, MATRIX),
    "np.unwrap": lambda f, x: f(x),
    "np.vander": lambda f, x: f(x[0]),
    "np.vdot": lambda f, x: f(x, MATRIX),
    "np.vsplit": lambda f, x: f(x, [1]),
    "np.vstack": lambda f, x: f([x, x[0]]),
    "np.where": lambda f, x: f(x > 0, x, 0.0),
    "np.save": lambda f, x: f(io.BytesIO(), x),
    "np.savetxt": lambda f, x: f(io.BytesIO(), x),
    "np.savez": lambda f, x: f(io.BytesIO(), x),
    "np.savez_compressed": lambda f, x: f(io.BytesIO(), x),
    "np.linalg.cross": lambda f, x: f(x[0, :3], VECTOR[:3]),
    "np.linalg.lstsq": lambda f, x: f(x, VECTOR[:3]),
    "np.linalg.matmul": lambda f, x: f(x, MATRIX.T),
    "np.linalg.matrix_power": lambda f, x: f(x[:, :3], 2),
    "np.linalg.multi_dot": lambda f, x: f([x, MATRIX.T]),
    "np.linalg.outer": lambda f, x: f(x[0], VECTOR),
    "np.linalg.solve": lambda f, x: f(SQUARE, x),
    "np.linalg.tensordot": lambda f, x: f(x, MATRIX, axes=2),
    "np.linalg.tensorinv": lambda f, x: f(x[:, :3], 1),
    "np.linalg.tensorsolve": lambda f, x: f(SQUARE, x[:, 0]),
    "np.linalg.vecdot": lambda f, x: f(x, VECTOR),
    **{
        f"np.linalg.{name}": lambda f, x: f(x[:, :3])
        for name in ("cholesky", "cond", "det", "eig", "eigh", "eigvals", "eigvalsh", "inv", "slogdet")
    },
}
#: Those of dates, bits, whole positions and text, which never meet a gradient; and one that takes no array.
WITHOUT_GRADIENTS = {
    "busday_count", "busday_offset", "is_busday", "datetime_as_string", "packbits", "unpackbits", "ravel_multi_index",
    "unravel_index",
}  # fmt: skip
NAMES = [name for name in DISPATCHED if name.rpartition(".")[2] not in WITHOUT_GRADIENTS]


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
            np.testing.assert_allclose(mine, other, rtol=1e-6 if other.dtype == np.float32 else 1e-12)
        else:
            assert mine == other


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_every_function_works_as_on_arrays_or_names_what_exists(name):
    function, x = DISPATCHED[name], Variable(MATRIX.copy())
    if function in RULES:
        same(called(name, x), called(name, MATRIX))
        assert all(isinstance(part, Variable) and part.requires_grad for part in parts(called(name, x))) or (
            function in CONSTANT  # np.full_like of a number
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
    name for name in NAMES if DISPATCHED[name] in RULES and DISPATCHED[name] not in CONSTANT and name != "np.astype"
]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_of_functions_agree_with_differences(name):
    def joined(x):
        found = [part.reshape(-1) for part in parts(called(name, x))]
        return found[0] * found[0] if len(found) == 1 else nbgrad.cat([part * part for part in found])

    cases.check_to_second_order(joined, [MATRIX])


def test_all_functions_are_listed():
    assert len(DISPATCHED) > 250
    assert set(CALLS) <= set(DISPATCHED)
    assert set(RULES) <= set(DISPATCHED.values())
    assert {f for f in CONSTANT if not isinstance(f, np.ufunc)} <= set(DISPATCHED.values())


@pytest.mark.parametrize("name", ALL_UFUNCS)
@pytest.mark.filterwarnings("ignore")
def test_every_ufunc_works_as_on_arrays_or_names_what_exists(name):
    ufunc = ALL_UFUNCS[name]
    arrays = [draw(cases.UNIT, (3,), seed=i) for i in range(ufunc.nin)]
    arrays = [np.abs(a) for a in arrays] if name != "acosh" else [np.array([1.5, 2, 3])]
    variables = [Variable(a) for a in arrays]
    if ufunc in UFUNCS and ufunc not in (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert):
        result = ufunc(*variables)
        assert isinstance(result, Variable)
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
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_functions(name):
    call = ARGUMENTS[name]
    x = Variable(MATRIX.copy())
    result = call(x)
    assert isinstance(result, Variable) and result.requires_grad
    same(result, call(MATRIX))
    cases.check_to_second_order(lambda x: call(x) * call(x), [MATRIX])


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_functions_keep_dtypes(dtype):
    array = MATRIX.astype(dtype)
    for call in (np.var, np.tril, np.sort, np.linalg.trace, lambda x: np.pad(x, 1), lambda x: np.dot(x, 2.0)):
        same(call(Variable(array)), call(array))


def test_functions_of_one_compiled_program():
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


#: What is refused where a gradient would be lost, and what the error names.
REFUSED = {
    "np.median": (np.median, "np.median does not work on Variables that require a gradient: nbgrad has no function"),
    "np.linalg.inv": (lambda x: np.linalg.inv(x[:, :3]), r"np.linalg.inv does not .*: nbgrad has no function for it"),
    "np.linalg.norm": (
        np.linalg.norm,
        r"use nbgrad.sqrt\(\(x \* x\).sum\(\)\); where no gradient is",
    ),
    "where": (lambda x: np.sum(x, where=MATRIX > 0), r"np.sum with \['where'\] .* there it takes \(a, axis, dtype, "),
    "out": (lambda x: np.sum(x, 0, None, np.zeros(4)), "np.sum with these arguments does not work"),
    "order": (lambda x: np.reshape(x, 12, order="F"), r"np.reshape with \['order'\] does not work"),
    "select": (lambda x: np.select([MATRIX > 0], [x]), "np.select .*: use nbgrad.where"),
    "fill_diagonal": (lambda x: np.fill_diagonal(x, 1), "np.fill_diagonal .*: Variables are not changed in place"),
    "copyto": (lambda x: np.copyto(np.zeros((3, 4)), x), "np.copyto .*: Variables are not changed in place"),
    "reduce": (np.add.reduce, "np.add.reduce with these arguments does not work .* use np.sum"),
    "ufunc's out": (lambda x: np.add(x, 1, out=np.zeros((3, 4))), r"np.add with \['out'\] .* use nbgrad.add without"),
    "accumulate": (lambda x: np.add.accumulate(x, axis=None), r"np.add.accumulate with \[.axis.\] .* use np.cumsum"),
    "cumsum's out": (
        lambda x: np.cumsum(x, 0, out=np.zeros((3, 4))),
        r"np.cumsum with \['out'\] .* out has to be None",
    ),
    "outer": (lambda x: np.multiply.outer(x, x), r"np.multiply.outer .* use nbgrad.mul and what follows from it"),
    "at": (lambda x: np.add.at(np.zeros(3), [0], x), r"np.add.at .* Variables are not changed in place"),
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
    with pytest.raises(TypeError, match=r"np.exp with out= of a Variable: write into x.data"):
        np.exp(x, out=x)


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
    with pytest.raises(TypeError, match=r"the ufunc xlogy does not work .* nbgrad has no function for it"):
        peer("scipy.special").xlogy(Variable(VECTOR), VECTOR)


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
