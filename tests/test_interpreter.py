"""Interpreted kernels give what compiled ones give, and an access outside of an array raises."""

import numpy as np
import pytest
from cases import DTYPES, ELEMENTWISE, REDUCTIONS, SCANS, TOLERANCE, draw, numbered
from interpreter import Memory, _extents, cut_small, elementary, interpret_loops, interpreted, rewritten

import nbgrad
from nbgrad.kernels import formula, reductions, scalars, scans
from nbgrad.kernels.cpu import elementwise, fused, indexing, reduction_loops, scan_loops
from nbgrad.kernels.cpu.scan import beginnings
from nbgrad.ops.elementwise import OPERATIONS

A = np.arange(12.0).reshape(3, 4)
VECTOR = np.random.default_rng(0).normal(size=70)
TALL = np.random.default_rng(1).normal(size=(90, 3))

#: Functions whose loops differ: levels, folds in rows, columns and all, stages, steps, dtypes.
FUNCTIONS = {
    "formula": (lambda x: x * x + 1, [A]),
    "broadcast": (lambda x, y: x * y[:, None] - 2.5, [A, A[:, 0].copy()]),
    "steps": (lambda x: x.T[::2, ::-1] * 2, [A]),
    "float32": (lambda x: nbgrad.sqrt(x) / 3, [A.astype("float32")]),
    "truth": (lambda x: nbgrad.where((x > 2) & ~(x == 5), x, -x), [A]),
    "whole numbers": (lambda x: x * x - 7, [np.arange(100, 112).astype("int8")]),
    "conversion": (lambda x: x.astype("float32") * 2, [A]),
    "rows": (lambda x: (x * x).sum(1), [TALL.T.copy()]),
    "rows of float32": (lambda x: (x * x).sum(1), [TALL.T.astype("float32")]),
    "columns": (lambda x: (x * x).sum(0), [TALL]),
    "all": (lambda x: (x * x).sum(), [VECTOR]),
    "stages": (lambda x: nbgrad.softmax(x, 1), [TALL.T.copy()]),
    "several results": (lambda x: (x * 2, x.sum(), nbgrad.amax(x, 0)), [TALL]),
    "empty": (lambda x: x * 2, [A[:0]]),
}


@pytest.fixture
def under_jit(monkeypatch):
    interpret_loops(monkeypatch)
    yield
    cut_small(False)


def _close(found, wanted):
    pairs = zip(found, wanted, strict=True) if isinstance(wanted, tuple) else [(found, wanted)]
    for x, y in pairs:
        assert x.shape == y.shape and x.dtype == y.dtype
        limits = TOLERANCE.get(str(y.dtype), {"rtol": 0})
        np.testing.assert_allclose(x, y, **limits)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_loops_of_jit(name, monkeypatch):
    function, arrays = FUNCTIONS[name]
    compiled = nbgrad.jit(function)(*arrays)
    interpret_loops(monkeypatch)
    try:
        for small in (False, True):
            cut_small(small)
            _close(nbgrad.jit(function)(*arrays), compiled)
    finally:
        cut_small(False)


# ---- accesses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("p0_row + j", "p0_row + j + 1", "operand p0: elements 1 to 12"),
        ("p0_row + j", "p0_row + j * 2", "operand p0: elements 0 to 22"),
        ("p0_row + j", "p0_row + j * -1", "operand p0: elements 0 to -11"),
        ("p0_row + j", "p0_row + 12", "operand p0: elements 12 to 12"),
        ("o0_row + j", "o0_row + j + -1", "operand o0: elements -1 to 10"),
    ],
)
def test_access_outside_raises(old, new, what, under_jit, monkeypatch):
    monkeypatch.setattr(fused, "source", lambda nest, source=fused.source: source(nest).replace(old, new))
    with pytest.raises(AssertionError, match=what):
        nbgrad.jit(lambda x: x * 2)(A)


def test_memory_of_views():
    """A view's memory reaches from its lowest element to its highest, whatever its steps."""
    lines = ["def loop(args, dims, steps, data):", "p = float64_pointer(args[0])", "dims[0] = load(p, dims[0])"]
    load = interpreted("\n    ".join(lines))
    for view, first, last in ((A[:, 1:3], 0, 9), (A[::-1, ::-1], -11, 0), (A[1], 0, 3), (A[2:, 3:], 0, 0)):
        for place in (first, last):
            found = [place]
            load([Memory.of("x", view, 0)], found)
            assert found[0] in view
        for place in (first - 1, last + 1):
            with pytest.raises(AssertionError, match="operand x"):
                load([Memory.of("x", view, 0)], [place])
    with pytest.raises(AssertionError, match="operand x: elements 0 to 0"):
        load([Memory.of("x", A[:0], 0)], [0])
    with pytest.raises(AssertionError, match="read as float64"):
        load([Memory.of("x", A.astype("float32"), 0)], [0])


def test_loops_that_run_at_once():
    text = "def loop(args, dims, steps, data):\n    for j in range(3):\n        {}"
    for line in ("p[j] = q[j + 1] if q[j] > 0 else 1", "p[j + 2] += q[0]", "store_0(p, 2 * j, 1)"):
        assert "along" in rewritten(text.format(line)), line
    for line in ("p[0] = q[j]", "total += q[j]", "total = total + q[j]", "i += 1", "store_0(p, 2, 1)"):
        assert "along" not in rewritten(text.format(line)), line
    assert "for row" in rewritten(text.format("p[row] = 1").replace("j in", "row in"))


# ---- eager mode ------------------------------------------------------------------------------------------------------


def _called(text, arrays, dims, steps=None):
    """Run a ufunc's loop on arrays."""
    given = [Memory.of(f"args[{i}]", x, 0) for i, x in enumerate(arrays)]
    interpreted(text)(given, dims, [x.strides[0] for x in arrays] if steps is None else steps)
    return arrays[-1]


#: Those that are one of our ufuncs, and no function that calls another one.
UFUNCS = [case for case in ELEMENTWISE if case.function is getattr(OPERATIONS.get(case.name), "function", None)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", UFUNCS, ids=numbered(UFUNCS))
def test_elementwise(case, dtype):
    operation = OPERATIONS[case.name]
    arrays = [draw(domain, (7,), dtype, i) for i, domain in enumerate(case.domains)]
    wanted = case.function(*arrays)
    number = next((x.dtype.name for x in arrays if x.dtype != bool), "bool")
    text = elementwise.source([operation.expression], operation.kinds, number)
    for step in (1, -1):
        views = [np.repeat(x, abs(step) * 2)[::2][::step][::step] for x in arrays]
        _close(_called(text, [*views, np.empty(7, wanted.dtype)], [7]), wanted)


@pytest.mark.parametrize("columns", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize("case", REDUCTIONS, ids=repr)
def test_reductions(case, columns):
    x = np.random.default_rng(0).uniform(0.5, 1.5, (2, 70, 3) if columns else (2, 70))
    text = reduction_loops.source(reductions.TABLE[case.name], "float64", "float64", columns)
    result = np.empty((2, 3) if columns else 2)
    steps = [x.strides[0], result.strides[0], *x.strides[1:], *result.strides[1:]]
    _close(_called(text, [x, result], x.shape, steps), case.numpy(x, axis=1))


@pytest.mark.parametrize("case", SCANS, ids=repr)
def test_scans(case):
    """Lines that are neighbours in memory, that are not, and go through squares either way, and a single one."""
    scan = scans.TABLE[case.name]
    text = scan_loops.source(scan, "d", True)
    for shape, order, way in (((9, 13), "C", 1), ((9, 13), "F", 1), ((20, 17), "C", -1), ((2, 3), "C", 1)):
        x = np.asarray(np.random.default_rng(0).uniform(0.5, 1.5, shape), order=order)[:, ::way]
        results = [np.empty_like(x, dtype) for dtype in ["float64", *["int64"] * scan.places]]
        begin = beginnings(scan, "d")
        steps = [x.strides[0], *[0] * len(begin), *(y.strides[0] for y in results)]
        steps += [x.strides[1], *(y.strides[1] for y in results)]
        _called(text, [x, *begin, *results], shape, steps)
        _close(results[0], case.numpy(x, 1))


def test_extents():
    """The memory that a ufunc may touch is known by its steps and its signature's dimensions."""
    assert _extents(None, [5], [8, -8, 0], 3) == [(0, 32), (-32, 0), (0, 0)]
    assert _extents("(r,w),(n)->(n,w)", [1, 4, 3, 2], [0, 0, 0, 24, 8, 8, -24, 8], 3) == [(0, 88), (0, 8), (-24, 16)]
    assert _extents("(k)->()", [2, 0], [8, 8, 8], 2)[0] == (0, -8)
    text = indexing.written(indexing._GATHER, "d")
    x, index, y = A, np.array([2, 0]), np.empty((2, 4))
    steps = [0, 0, 0, 32, 8, 8, 32, 8]
    np.testing.assert_array_equal(_called(text, [x, index, y], [1, 3, 4, 2], steps), A[[2, 0]])
    for outside in (3, -1):
        with pytest.raises(IndexError, match="a position is outside of the array"):
            _called(text, [x, np.array([2, outside]), y], [1, 3, 4, 2], steps)
    with pytest.raises(AssertionError, match=r"operand args\[0\]: elements 12 to 15"):
        _called(text, [x, np.array([2, 3]), y], [1, 4, 4, 2], steps)


def test_every_elementary_function_has_a_counterpart():
    functions = [f for f in vars(scalars).values() if isinstance(f, formula.ScalarFunction)]
    assert {"exp", "inversion"} <= {f.name for f in functions if "_{number}(" in f.template and elementary(f.name)}
    a, b = np.array([3.0, 0.0, np.inf, 1e200]), np.array([4.0, 0.0, np.inf, 1e200])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(elementary("inversion")(a, b), [0.12, 0.0, 0.0, 5e-201])
        np.testing.assert_allclose(elementary("share")(a, b), [1 / (1 + np.e), 0.5, 0.5, 0.5])
    assert elementary("atan2") is np.arctan2 and elementary("acosh") is np.arccosh and scalars.exp.name == "exp"
