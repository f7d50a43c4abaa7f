"""Methods that write in place what any operation gives, and those that make a Variable another view of its memory."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable, registry
from nbgrad.autograd import grad

START = np.linspace(-1, 1, 12).reshape(3, 4) + 0.05
SQUARE = np.linspace(0.1, 0.9, 9).reshape(3, 3)
WHOLE = np.arange(12).reshape(3, 4) % 5
PLACES = np.array([[0, 1], [2, 3], [1, 0]])
SOME = WHOLE > 2

#: What each takes besides the Variable itself, where that is not another one of its shape; and that one.
ARGUMENTS = {
    **dict.fromkeys(("addbmm_", "baddbmm_"), (SQUARE[None], SQUARE[None])),
    **dict.fromkeys(("addcmul_", "addcdiv_"), (START + 2, START - 3)),
    "addmm_": (SQUARE, SQUARE), "addmv_": (SQUARE, SQUARE[0]), "addr_": (SQUARE[0], SQUARE[1]),
    "lerp_": (START + 1, 0.3),
    **dict.fromkeys(
        ("ceil_", "floor_", "round_", "trunc_", "frac_", "fix_", "sgn_", "deg2rad_", "rad2deg_", "i0_", "sinc_",
         "logit_", "conj_physical_", "nan_to_num_", "tril_", "triu_", "bitwise_not_", "logical_not_", "absolute_",
         "arccos_", "arccosh_", "arcsin_", "arcsinh_", "arctan_", "arctanh_", "negative_"),
        (),
    ),
    "clip_": (-0.5, 0.5), "mvlgamma_": (2,), "renorm_": (2.0, 0, 0.7), "float_power_": (2.0,), "ldexp_": (WHOLE,),
    "index_put_": ((np.array([0, 2]), np.array([1, 1])), np.array([3.0, 4.0])),
    "index_reduce_": (0, np.array([1, 1, 0]), START + 2, "prod"),
    "masked_scatter_": (SOME, START * 5), "put_": (np.array([0, 7]), np.array([3.0, 4.0])),
    "scatter_": (1, PLACES, START[:, :2] * 3), "scatter_add_": (1, PLACES, START[:, :2] * 3),
    "scatter_reduce_": (1, PLACES, START[:, :2] * 3, "amax"),
    **dict.fromkeys(("squeeze_", "t_"), ()), "unsqueeze_": (1,),
    **dict.fromkeys(("swapaxes_", "swapdims_", "transpose_"), (0, 1)),
}  # fmt: skip
#: The dtypes and the numbers that some are for.
POSITIVE = {"igamma_", "igammac_", "logit_", "xlogy_", "arccos_", "arcsin_", "arctanh_", "float_power_"}
ABOVE_ONE = {"arccosh_", "mvlgamma_"}
OF_WHOLE_NUMBERS = {name for name in registry.IN_PLACE if name.startswith("bitwise") or name in ("gcd_", "lcm_")}


def start_of(name):
    if name in OF_WHOLE_NUMBERS:
        return WHOLE
    if name.startswith("add") and name not in ("addcmul_", "addcdiv_"):
        return SQUARE[0] if name == "addmv_" else SQUARE
    if name == "baddbmm_":
        return SQUARE[None]
    return START / 4 + (2 if name in ABOVE_ONE else 0.5 if name in POSITIVE else 0)


@pytest.mark.parametrize("name", sorted(registry.IN_PLACE))
def test_they_write_what_the_operation_gives(name):
    start = start_of(name)
    other = START / 3 + 0.6 if start.dtype.kind == "f" else WHOLE[::-1] + 1
    arguments = ARGUMENTS.get(name, (other,))
    base = registry.ENTRIES.get(registry.IN_PLACE[name]) or registry.load(registry.IN_PLACE[name])
    tensors = [nbgrad.tensor(a) if isinstance(a, np.ndarray) else a for a in arguments]
    differentiable = start.dtype.kind == "f" and not name.startswith("igamma")  # which is by its second argument
    x, gradients = nbgrad.tensor(start, requires_grad=differentiable), []
    expected, y = base.function(x * 1, *tensors), x * 1
    before, kept = y.detach().clone(), [y]
    assert getattr(y, name)(*tensors) is y and kept
    assert y.shape == expected.shape and y.dtype == before.dtype
    np.testing.assert_array_equal(y.data, expected.data.astype(before.dtype))
    if differentiable:
        for z in (expected, y):
            z = z if z.requires_grad else z + 0.0 * x.sum()
            gradients.append(grad((z * z).sum(), x)[0].data)
        np.testing.assert_allclose(*gradients, rtol=1e-12, atol=1e-15)


def test_other_methods_agree_with_torch():
    torch = peer("torch")

    def run(library):
        w = library.tensor(START, requires_grad=True)
        a = w * 2
        a.fill_diagonal_(3.0)
        b = library.tensor(np.zeros((5, 2))).fill_diagonal_(1.0, wrap=True)
        c = w * 2
        before = c + w
        c.detach_()
        assert c.requires_grad is False and c.grad_fn is None
        c += w
        d = (w + 2).polygamma_(1)
        (a * a + before + c * c + d).sum().backward()
        return a, b, c, d, w.grad

    for ours, theirs in zip(run(nbgrad), run(torch), strict=True):
        np.testing.assert_allclose(ours.detach().data, theirs.detach().numpy(), rtol=1e-8)  # their trigamma


def test_random_whole_numbers_are_within_their_bounds():
    x = nbgrad.zeros(1000)
    assert x.random_(3, 7) is x and set(np.unique(x.data)) == {3, 4, 5, 6}
    assert set(np.unique(nbgrad.zeros(1000).random_(2).data)) == {0, 1}
    whole = nbgrad.zeros(100, dtype=np.int8).random_()
    assert whole.data.min() >= 0 and whole.data.max() > 50
    with pytest.raises(ValueError, match="no numbers from 5 to before 5"):
        x.random_(5, 5)


# ---- other views of the same memory ---------------------------------------------------------------------------------


def test_a_variable_becomes_another_view_and_nodes_keep_what_it_was():
    x = nbgrad.tensor(START, requires_grad=True)
    y = x * 2
    part, product = y[1], y * x
    array = y.data
    assert y.t_() is y and y.shape == (4, 3) and np.shares_memory(y.data, array)
    y[0] = 1.0
    y.unsqueeze_(0).mul_(3)
    assert part.tolist() == [3.0, *(6 * START[1, 1:])]
    (y.sum() + part.sum()).backward()
    expected = np.full((3, 4), 6.0)
    expected[1] += 6.0
    expected[:, 0] = 0
    np.testing.assert_allclose(x.grad.data, expected)
    with pytest.raises(RuntimeError, match=r"elements of shape \(3, 4\) .* overwritten"):
        product.sum().backward()


WRITES = {
    "the other view": lambda y: y.t_().mul_(2),
    "a view of that": lambda y: y.t_()[0].mul_(2),
    "a view from before": lambda y: [part.mul_(2) for part in [y[0]] if y.t_() is y],
    "elements": lambda y: y.unsqueeze_(0).__setitem__(0, 1.0),
    "twice": lambda y: y.t_().t_().add_(1),
    "cut off": lambda y: y.detach_().mul_(2),
    "cut off in another shape": lambda y: y.t_().detach_().unsqueeze_(0).mul_(2),
    "cut off and given elements": lambda y: y.detach_().__setitem__(0, 5.0),
}


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("name", WRITES)
def test_elements_that_are_overwritten_in_another_shape_are_noticed(name, constant):
    x = nbgrad.tensor(START, requires_grad=True)
    y = nbgrad.ones(3, 4) * 2 if constant else x * 2
    z = (y * x * y).sum()
    WRITES[name](y)
    with pytest.raises(RuntimeError, match=r"elements of shape \(3, 4\) .* overwritten"):
        z.backward()
    assert x.grad is None


def test_a_gradient_goes_past_a_cut_to_what_was_before():
    x = nbgrad.tensor([2.0, 3.0], requires_grad=True)
    y = x * x
    before = y * 3
    y.detach_()
    after = y * x
    (before.sum() + after.sum()).backward()
    assert x.grad.tolist() == [2 * 2 * 3 + 4, 2 * 3 * 3 + 9]
    x.detach_()
    assert not x.requires_grad and not (x * 2).requires_grad


def test_leaves_and_arguments_keep_their_shapes():
    with pytest.raises(RuntimeError, match=r"t_: a leaf that requires a gradient keeps its shape.*x = x\.t"):
        Variable(START.copy()).t_()
    x = nbgrad.tensor(START)
    for change in (lambda x: x.unsqueeze_(0) * 1, lambda x: x.requires_grad_().detach_() * 1):
        with pytest.raises((TypeError, RuntimeError), match=r"argument|leaf"):
            nbgrad.jit(change)(x)
    assert x.shape == (3, 4)


def test_compiled_functions_change_shapes_as_eager_ones_do():
    def function(w):
        y = w * 2
        before, row = y + w, y[1]
        y.t_().unsqueeze_(0)
        y[0, 1] = 1.0
        y.mul_(w.sum())
        cut = (w * 3).detach_()
        cut += w
        return (y * y).sum() + (before * before).sum() + (row * row).sum() + (cut * cut).sum()

    for ours, expected in zip(
        nbgrad.jit(nbgrad.value_and_grad(function))(START), nbgrad.value_and_grad(function)(START), strict=True
    ):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)
