"""Writing into Variables: values, gradients, views, what is refused, and random programs that PyTorch judges."""

import gc

import numpy as np
import pytest
import writers
from peers import peer
from workers import raced

import nbgrad
from nbgrad import Variable, sharing
from nbgrad.autograd import grad

START = np.linspace(-1, 1, 12).reshape(3, 4) + 0.05


def leaf(*values, dtype=np.float64):
    return Variable(np.array(values, dtype))


# ---- elements -------------------------------------------------------------------------------------------------------

KEYS = {
    "number": 1,
    "negative": -1,
    "slice": slice(1, None),
    "steps": slice(None, None, 2),
    "backwards": slice(None, None, -1),
    "column": (slice(None), 1),
    "element": (1, 2),
    "ellipsis": (Ellipsis, 0),
    "everything": Ellipsis,
    "new axis": (slice(None), None),
    "rows": [2, 0],
    "rows and columns": ([0, 1], [1, 3]),
    "one of an array": (np.array([1, 2]), slice(1, 3)),
    "mask": START > 0,
    "mask of rows": np.array([True, False, True]),
    "nothing": slice(3, 3),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", KEYS)
def test_elements_are_written_as_numpy_and_torch_write_them(name, dtype):
    torch = peer("torch")
    key = KEYS[name]
    values = np.full_like(START[key], 3.0) + np.arange(START[key].size).reshape(START[key].shape)

    def run(library, key):
        x = library.tensor(START.astype(dtype), requires_grad=True)
        v = library.tensor(values.astype(dtype), requires_grad=True)
        y = x * 2
        y[key] = v * v
        (y * y).sum().backward()
        return y.detach(), x.grad, v.grad

    if name == "backwards":  # torch knows no negative steps
        ours = run(nbgrad, key)
        np.testing.assert_allclose(ours[2].data, (4 * values**3).astype(dtype), rtol=1e-6)
        return
    there = torch.tensor(key) if isinstance(key, np.ndarray) else key
    there = tuple(torch.tensor(k) if isinstance(k, np.ndarray) else k for k in there) if type(key) is tuple else there
    for ours, theirs in zip(run(nbgrad, key), run(torch, there), strict=True):
        np.testing.assert_allclose(ours.data, theirs.numpy(), rtol=1e-6)
        assert ours.dtype == dtype


def test_gradients_of_writes_to_second_order():
    def function(x, v):
        y = x * x
        y[1:, ::2] = v * x[0, 0]
        y[[0, 2], 1] = v[0] * v[1]
        y[y.data > 0.9] = v[0, 0]
        return (y * y * y).sum()

    inputs = [Variable(START.copy()), leaf([0.5, 0.7], [0.2, -0.3])]
    assert nbgrad.autograd.gradcheck(function, inputs, order=2)


def test_values_that_are_broadcast():
    x = nbgrad.zeros(3, 4)
    row, number = leaf([[1.0, 2.0, 3.0, 4.0]]), leaf(5.0)
    x[1:] = row
    x[0, 1:3] = number
    (x * 2).sum().backward()
    assert row.grad.tolist() == [[[4, 4, 4, 4]]] and number.grad.tolist() == [4]


def test_positions_that_come_twice_keep_the_last_value():
    v = leaf(1.0, 2.0, 3.0)
    x = nbgrad.zeros(3)
    x[[1, 2, 1]] = v
    assert x.tolist() == [0, 3, 2]
    (x * leaf(1.0, 10.0, 100.0).detach()).sum().backward()
    assert v.grad.tolist() == [0, 100, 10]
    rows, spread = leaf([1.0, 2.0], [3.0, 4.0], [5.0, 6.0]), leaf([7.0, 8.0])
    for given in (rows, spread):
        y = nbgrad.zeros(3, 2)
        y[[1, 2, -2]] = given
        (y * nbgrad.tensor([[1.0], [10.0], [100.0]])).sum().backward()
    assert rows.grad.tolist() == [[0, 0], [100, 100], [10, 10]] and spread.grad.tolist() == [[110, 110]]


def test_rows_filled_one_by_one():
    w = leaf(1.0, 2.0)
    x = nbgrad.zeros(50, 2)
    for i in range(50):
        x[i] = w * float(i)
    x.sum().backward()
    assert w.grad.tolist() == [1225, 1225]


def test_a_recurrence_in_place_agrees_with_a_list():
    def in_place(a):
        x = nbgrad.zeros(20)
        x[0] = a
        for i in range(1, 20):
            x[i] = x[i - 1] * a + 0.1
        return (x * x).sum()

    def of_a_list(a):
        x = [a]
        for _ in range(19):
            x.append(x[-1] * a + 0.1)
        return sum(y * y for y in x)

    a, b = leaf(0.9)[0], leaf(0.9)[0]
    np.testing.assert_allclose(grad(in_place(a), [a])[0].data, grad(of_a_list(b), [b])[0].data, rtol=1e-12)


# ---- operations in place --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["add_", "sub_", "mul_", "div_", "pow_", "atan2_", "hypot_"])
def test_methods_of_two_operands_agree_with_torch(name):
    torch = peer("torch")

    def run(library):
        x = library.tensor(START + 2, requires_grad=True)
        v = library.tensor(START[0] + 1.5, requires_grad=True)
        y = x * 1.5
        z = getattr(y, name)(v)
        assert z is y
        (y * y).sum().backward()
        return y.detach(), x.grad, v.grad

    for ours, theirs in zip(run(nbgrad), run(torch), strict=True):
        np.testing.assert_allclose(ours.data, theirs.numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    "name", ["exp_", "log_", "sqrt_", "sin_", "tanh_", "sigmoid_", "relu_", "neg_", "square_", "abs_"]
)
def test_methods_of_one_operand_agree_with_torch(name):
    torch = peer("torch")

    def run(library):
        x = library.tensor(START + 2, requires_grad=True)
        y = x * 0.5
        assert getattr(y, name)() is y
        (y * y).sum().backward()
        return y.detach(), x.grad

    for ours, theirs in zip(run(nbgrad), run(torch), strict=True):
        np.testing.assert_allclose(ours.data, theirs.numpy(), rtol=1e-12)


def test_other_methods_agree_with_torch():
    torch = peer("torch")

    def run(library):
        x = library.tensor(START, requires_grad=True)
        v = library.tensor(START[:2] * 3, requires_grad=True)
        y = x * 2
        index = library.tensor(np.array([2, 0]))
        y.clamp_(-0.5, 1.5).index_add_(0, index, v * v, alpha=2)
        y.masked_fill_(library.tensor(START > 0.8), 7.0)
        y.index_copy_(1, library.tensor(np.array([1])), v.sum() * library.tensor(np.ones((3, 1))))
        y.index_fill_(0, library.tensor(np.array([1])), 0.5)
        z = library.tensor(np.zeros((3, 4)))
        z.copy_(y[0])
        z[1].zero_()
        z[2].fill_(v[0, 0])
        (y * y + z * z).sum().backward()
        return y.detach(), z.detach(), x.grad, v.grad

    for ours, theirs in zip(run(nbgrad), run(torch), strict=True):
        np.testing.assert_allclose(ours.data, theirs.numpy(), rtol=1e-12)


def test_operators_write_in_place():
    x = leaf(1.0, 2.0) * 2
    same, array = x, x.data
    x += leaf(1.0, 1.0)
    x *= 2
    x -= 1
    x /= 2
    x **= 2
    assert same is x and x.data is array and x.tolist() == [6.25, 20.25]


def test_whole_numbers_and_truth_values():
    x = nbgrad.arange(4)
    x += 2
    x[1] = 9
    assert x.tolist() == [2, 9, 4, 5] and x.dtype == np.int64
    mask = nbgrad.tensor([True, False])
    mask[1] = True
    assert mask.tolist() == [True, True]


def test_nothing_recorded_costs_no_walk_its_way():
    """Writes to constants that only a name holds leave walks as they are."""
    from nbgrad import history

    before = history.writes
    x = nbgrad.zeros(3)
    x[0] = 1.0
    x += 2.0
    w = leaf(1.0)
    y = nbgrad.zeros(3)
    y[1] = w[0] * 2  # recorded, and held by nobody else
    y.sum().backward()
    assert history.writes == before and w.grad.tolist() == [2]


# ---- views ----------------------------------------------------------------------------------------------------------


def test_views_see_what_is_written_to_one_another():
    w = leaf(2.0, 3.0)
    x = w * nbgrad.ones(2, 2)
    row, column, flat = x[0], x.t()[1], x.reshape(-1)
    row *= w[0]  # through a view
    assert x.tolist() == [[4, 6], [2, 3]] and flat.tolist() == [4, 6, 2, 3] and column.tolist() == [6, 3]
    (x.sum() + 10 * flat[1] + 100 * column[0]).backward()
    np.testing.assert_array_equal(w.grad.data, [4 + 3 + 1 + 110 * 3, 2 + 1 + 110 * 2])


def test_a_detached_view_shares_memory_and_no_gradient():
    x = leaf(1.0, 2.0) * 1
    cut = x.detach()
    x[0] = leaf(5.0)[0]
    assert cut.tolist() == [5, 2] and not cut.requires_grad
    cut[1] = 7.0
    assert x.tolist() == [5, 7] and x.requires_grad


def test_a_constants_views_require_gradients_with_it():
    x = nbgrad.zeros(3)
    part = x[1:]
    x[2] = leaf(4.0)[0]
    assert part.requires_grad and part.grad_fn is not None and part.tolist() == [0, 4]
    part.retain_grad()
    part.sum().backward()
    assert part.grad.tolist() == [1, 1]


def test_views_made_before_the_first_write_of_a_process_are_found(monkeypatch):
    monkeypatch.setattr(sharing, "active", False)
    monkeypatch.setattr(sharing, "_groups", {})
    w = leaf(2.0)
    x = w * nbgrad.ones(3)
    gc.freeze()
    try:
        part = x[:2]
        x *= w
        (part.sum() + x.sum()).backward()
    finally:
        gc.unfreeze()
    assert w.grad.tolist() == [20]


# ---- what nodes took it for that came before ------------------------------------------------------------------------


def test_what_came_before_keeps_its_way_back():
    w, v = leaf(2.0, 3.0), leaf(5.0, 7.0)
    x = nbgrad.zeros(2)
    before = x + w
    x[:] = v * 2
    between = x * 3
    x += w
    (before.sum() + between.sum() + x.sum()).backward()
    assert w.grad.tolist() == [2, 2] and v.grad.tolist() == [8, 8]


@pytest.mark.parametrize("way", ["recorded", "unrecorded", "constant", "view", "output", "leaf", "detached"])
def test_elements_that_are_overwritten_and_needed_are_noticed(way):
    w = leaf(2.0, 3.0)
    x = nbgrad.ones(2) * 4.0 if way == "constant" else w if way == "leaf" else w * 2
    y = nbgrad.exp(x) if way == "output" else x * w * x
    kept = [x]  # so that more than one name holds it
    if way == "recorded":
        x[0] = 1.0
    elif way == "view":
        x[:1] *= 2
    elif way == "output":
        y += 1
    elif way == "detached":
        x.detach()[0] = 1.0
    else:
        with nbgrad.no_grad():
            x *= 2
    with pytest.raises(RuntimeError, match=r"elements of shape \(2,\) .* overwritten by .*x\.clone\(\)"):
        y.sum().backward()
    assert w.grad is None and len(kept) == 1
    (w * w).sum().backward()
    assert w.grad is not None


def test_what_no_rule_reads_may_be_overwritten():
    w = leaf(2.0, 3.0)
    x = w * 2
    y = x + 1
    x *= 5
    with nbgrad.no_grad():
        w += 1
    (x + y).sum().backward()
    assert w.grad.tolist() == [12, 12]


def test_second_derivatives_notice_too():
    x = leaf(2.0)
    y = nbgrad.exp(x)
    (first,) = grad(y.sum(), [x], create_graph=True)
    y[0] = 1.0
    with pytest.raises(RuntimeError, match="overwritten"):
        first.sum().backward()


def test_constants_that_are_written_again_and_again():
    """A buffer that is filled anew for each step, as users of preallocated memory do."""
    w = leaf(1.0, 2.0)
    buffer = nbgrad.zeros(2)
    kept = [buffer]
    graphs = []
    for value in (3.0, 5.0):
        buffer.fill_(value)
        (buffer * w).sum().backward()
        graphs.append((buffer * w).sum())
    assert w.grad.tolist() == [8, 8]
    graphs[1].backward()
    with pytest.raises(RuntimeError, match="overwritten by fill_"):
        graphs[0].backward()
    assert len(kept) == 1


def test_parameters_are_trained_in_place():
    w = leaf(1.0, -2.0)
    parameters = [w]
    for _ in range(3):
        w.grad = None
        (w * w).sum().backward()
        with nbgrad.no_grad():
            for p in parameters:
                p -= 0.25 * p.grad
    assert w.is_leaf and w.requires_grad and w.tolist() == [0.125, -0.25]
    w.requires_grad_(False)
    assert not (w * 2).requires_grad
    w.requires_grad_(True)
    (w * 3).sum().backward()


# ---- what is refused ------------------------------------------------------------------------------------------------


def _broadcast():
    x = nbgrad.tensor([1.0, 2.0]).expand(3, 2)
    x[0] = 1.0


def _read_only():
    array = np.zeros(2)
    array.flags.writeable = False
    Variable(array, requires_grad=False)[0] = 1.0


def _view_of_a_leaf():
    leaf(1.0, 2.0)[:1].mul_(2)


def _whole_numbers():
    x = nbgrad.arange(3)
    x[0] = leaf(1.0)[0]


def _narrowed():
    nbgrad.arange(3)[0] = 0.5


def _in_place_narrowed():
    nbgrad.arange(3).div_(2)


def _other_shape():
    nbgrad.zeros(3)[:2] = nbgrad.ones(3)


def _grown():
    x = nbgrad.zeros(3)
    x += nbgrad.ones(2, 3)


def _mask_of_another_shape():
    nbgrad.zeros(3)[np.array([True, False])] = 1.0


REFUSED = {
    "a leaf": (lambda: leaf(1.0).add_(1), RuntimeError, "add_: a leaf that requires a gradient .*no_grad"),
    "elements of a leaf": (lambda: leaf(1.0).__setitem__(0, 2.0), RuntimeError, r"x\[key\] = value: a leaf .*no_grad"),
    "a view of a leaf": (_view_of_a_leaf, RuntimeError, "mul_: this is a view of a leaf that requires a gradient"),
    "broadcast": (_broadcast, RuntimeError, r"several elements .* one place in memory.*clone"),
    "read-only": (_read_only, ValueError, r"read-only: write into x\.clone"),
    "gradients of whole numbers": (_whole_numbers, TypeError, "float64 do not fit a Variable of dtype int64"),
    "fractions": (_narrowed, TypeError, "values of dtype float64 do not fit a Variable of dtype int64.*astype"),
    "a quotient": (_in_place_narrowed, TypeError, "div_: values of dtype float64 do not fit"),
    "another shape": (_other_shape, ValueError, r"x\[key\] = value: x of shape \(3,\): could not broadcast"),
    "a larger result": (_grown, ValueError, r"x \+= y: the result has shape \(2, 3\), .* shape \(3,\)"),
    "a mask": (_mask_of_another_shape, IndexError, r"x of shape \(3,\): boolean index"),
    "outside": (lambda: nbgrad.zeros(3).__setitem__(7, 1.0), IndexError, r"shape \(3,\): index 7 is out of bounds"),
    "a mask that is none": (lambda: nbgrad.zeros(2).masked_fill_([1, 0], 1.0), TypeError, "the mask has dtype int64"),
    "an array to fill with": (lambda: nbgrad.zeros(2).fill_([1.0, 2.0]), ValueError, "give one number; copy_"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_names_the_remedy(name):
    function, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        function()


def test_a_refused_write_changes_nothing():
    w = leaf(1.0, 2.0)
    y = w * 3
    other = y[:1]
    with pytest.raises(ValueError, match="could not broadcast"):
        y[:] = nbgrad.ones(3)
    with pytest.raises(IndexError):
        y[5] = w[0]
    assert y.tolist() == [3, 6]
    (y.sum() + other.sum()).backward()
    assert w.grad.tolist() == [6, 3]


# ---- random programs ------------------------------------------------------------------------------------------------


def _run(library, program, start, requires_grad=True):
    w = library.tensor(start, requires_grad=requires_grad)
    try:
        y = program.run(library, w)
        y.backward() if requires_grad else None
    except (RuntimeError, TypeError, ValueError) as error:
        return error, None, None
    return None, float(y.detach().numpy()), np.zeros_like(start) if w.grad is None else w.grad.detach().numpy()


#: More elements than compiled calls for small arrays take, and than a node keeps that needs shapes alone.
MANY = np.linspace(0.5, 1.5, 3000).reshape(60, 50)


@pytest.mark.parametrize("start", [START, MANY], ids=["few", "many"])
@pytest.mark.parametrize("more", [False, True], ids=["", "more"])
@pytest.mark.parametrize("first", range(0, 300, 30))
def test_random_writers_agree_with_torch(first, more, start):
    torch = peer("torch")
    for seed in range(first, first + 30):
        program = writers.Program(seed, 4 + seed % 12, more, start.shape)
        refused, value, gradient = _run(nbgrad, program, start)
        elsewhere, expected, theirs = _run(torch, program, start)
        if elsewhere is None:  # what torch computes is computed here, too
            assert refused is None, (seed, refused)
            np.testing.assert_allclose(value, expected, rtol=1e-9, err_msg=str(seed))
            np.testing.assert_allclose(gradient, theirs, rtol=1e-9, atol=1e-12, err_msg=str(seed))


@pytest.mark.parametrize("large", [False, True])
def test_a_cotangent_that_others_have_is_not_cut_in_place(large):
    """Of a sum both terms get one array, and the walk may be the first one, behind writes or before any."""
    size = 3000 if large else 4

    def gradient(library):
        w = library.tensor(np.linspace(1.0, 2.0, 3 * size).reshape(3, size)).requires_grad_(True)
        before = w.clone()
        x = before * 1.0
        z = x * 1.0
        z += x
        x[-1] = 0.5
        y = before + x
        ((z * z).sum() + (y * y).sum()).backward()
        return w.grad

    np.testing.assert_allclose(gradient(nbgrad).data, gradient(peer("torch")).numpy(), rtol=1e-12)


def test_random_writers_are_not_all_refused():
    refused = [_run(nbgrad, writers.Program(seed, 4 + seed % 12), START)[0] is not None for seed in range(60)]
    assert sum(refused) < 30


# ---- the whole ------------------------------------------------------------------------------------------------------


def test_threads_write_each_to_its_own():
    def work(number):
        w = leaf(float(number + 1))
        x = nbgrad.zeros(20)
        for i in range(20):
            x[i] = w[0] * i
            part = x[: i + 1]
            part *= 1.0
        x.sum().backward()
        return w.grad.tolist()

    results, errors = raced(work, 8)
    assert not errors and [r[0] for r in results] == [190.0] * 8


def test_writes_leave_nothing_behind():
    def once():
        w = leaf(1.0, 2.0)
        x = w * 2
        part = x[1:]
        x[0] = w[1]
        part += 1
        keep = [x, part]
        with nbgrad.no_grad():
            x *= 2
        return len(keep)

    once()
    gc.collect()
    before = len([x for x in gc.get_objects() if isinstance(type(x), type) and issubclass(type(x), Variable)])
    groups = len(sharing._groups)
    for _ in range(50):
        once()
    after = len([x for x in gc.get_objects() if issubclass(type(x), Variable)])
    assert after <= before and len(sharing._groups) <= groups


@pytest.mark.parametrize("form", ["whole", "part", "strided"])
def test_random_numbers_on_anothers_memory_are_seen_by_all_that_share_it(form):
    key = {"whole": slice(None), "part": slice(1, 3), "strided": (slice(None), slice(None, None, 2))}[form]
    x = nbgrad.tensor(np.full((4, 5), 2.0), requires_grad=True)
    square, doubled = (x * x).sum(), (x * 2).sum()
    same = x.detach()
    constant = same * x
    part = same[key]
    assert part.uniform_(3.0, 4.0) is part
    changed = np.zeros((4, 5), bool)
    changed[key] = True
    assert (x.data[changed] >= 3).all() and (x.data[~changed] == 2).all() and np.array_equal(same.data, x.data)
    doubled.backward()  # which reads none of the elements
    assert (x.grad.data == 2).all()
    for needing in (square, constant.sum()):
        with pytest.raises(RuntimeError, match=r"overwritten by uniform_"):
            needing.backward()
    x.grad = None
    (x * x).sum().backward()  # recorded behind the write
    np.testing.assert_array_equal(x.grad.data, 2 * x.data)
    before = x.data.copy()
    part.normal_(9.0, 0.1)
    assert (x.data[changed] != before[changed]).all() and (x.data[~changed] == 2).all()
    with pytest.raises(RuntimeError, match="a leaf that requires a gradient"):
        x.uniform_()
    with nbgrad.no_grad():
        assert (x.uniform_().data < 1).all()


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ((slice(1, -1), slice(1, -1)), (2, 2)),
        ((0, slice(None)), (4,)),
        ((1, 2), ()),
        ((..., 0), (4,)),
        ((slice(0, 2), slice(0, 3)), (2, 1)),
        ((slice(0, 2), 1), (1, 2)),  # has a dimension more than what is written to
    ],
)
def test_what_a_tuple_of_slices_and_numbers_picks_is_written_as_by_torch(key, shape):
    torch = peer("torch")
    start, weights = np.arange(16.0).reshape(4, 4), np.linspace(1, 2, 16).reshape(4, 4)
    found = []
    for library in (nbgrad, torch):
        x = library.tensor(start, requires_grad=True)
        v = library.tensor(np.full(shape, 0.5), requires_grad=True)
        y = x * 2
        y[key] = v * v
        y[key] = v * 3
        gradients = library.autograd.grad((y * y * library.tensor(weights)).sum(), [x, v], create_graph=True)
        seconds = library.autograd.grad(sum([(g * g).sum() for g in gradients]), [x, v])
        found.append([a.detach().numpy() for a in (y, *gradients, *seconds)])
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
        assert mine.shape == theirs.shape
