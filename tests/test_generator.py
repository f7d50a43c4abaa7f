import copy
import pickle
import threading

import numpy as np
import pytest

import nbgrad
from nbgrad import Generator


def test_a_seed_is_the_beginning_of_a_stream():
    first, second = Generator().manual_seed(7), Generator().manual_seed(7)
    one = nbgrad.rand(100, generator=first)
    np.testing.assert_array_equal(one.data, nbgrad.rand(100, generator=second).data)
    assert (nbgrad.rand(100, generator=first).data != one.data).all()
    assert first.initial_seed() == 7 and Generator().manual_seed(-1).initial_seed() == 2**64 - 1
    assert first.seed() != second.seed()
    assert Generator().initial_seed() == Generator().initial_seed()


def test_a_state_is_a_place_to_go_back_to():
    generator = Generator().manual_seed(1)
    nbgrad.randn(5, generator=generator)
    state = generator.get_state()
    copies = [copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))]
    drawn = nbgrad.randn(5, generator=generator)
    generator.set_state(state)
    for again in (generator, *copies):
        np.testing.assert_array_equal(nbgrad.randn(5, generator=again).data, drawn.data)
    with pytest.raises(ValueError, match=r"set_state: a state has shape \(2,\) and dtype uint64, not \(3,\)"):
        generator.set_state(np.zeros(3))
    before = nbgrad.get_rng_state()
    drawn = nbgrad.rand(2)
    nbgrad.set_rng_state(before)
    np.testing.assert_array_equal(nbgrad.rand(2).data, drawn.data)
    assert nbgrad.manual_seed(3) is nbgrad.default_generator and nbgrad.initial_seed() == 3
    assert "seed=3" in repr(nbgrad.default_generator)


@pytest.mark.parametrize("seed", [1.5, "1", 2**64, -(2**63) - 1])
def test_what_is_no_seed(seed):
    with pytest.raises(TypeError, match="manual_seed: a seed is a whole number"):
        Generator().manual_seed(seed)


def test_what_is_not_drawn():
    with pytest.raises(TypeError, match="normal ones are drawn as float32 or float64, not float16"):
        Generator().draw("normal", (3,), np.float16)
    with pytest.raises(ValueError, match="a size is negative"):
        nbgrad.rand(-1)


def test_threads_share_no_numbers():
    generator, found = Generator(), []
    threads = [
        threading.Thread(target=lambda: found.extend(int(generator.reserve(1)[1]) for _ in range(500)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(2000))


# ---- in traced functions --------------------------------------------------------------------------------------------


def noisy(x):
    drawn = nbgrad.randn(*x.shape) * x + nbgrad.rand(3, 1)
    return drawn.sum(1), nbgrad.randint(9, (4,)), nbgrad.rand(2, 3).T.reshape(6) @ nbgrad.randn(3, 2).reshape(6)


def test_compiled_functions_draw_anew_and_as_uncompiled_ones(kernels):
    compiled = nbgrad.jit(noisy)
    x = np.linspace(1, 2, 60).reshape(3, 20)
    nbgrad.manual_seed(5)
    expected = [noisy(x) for _ in range(3)]
    nbgrad.manual_seed(5)
    found = [compiled(x) for _ in range(3)]
    for one, other in zip(expected, found, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a.data, b.data, rtol=1e-12)
    assert (found[0][0].data != found[1][0].data).all()


def test_gradients_meet_the_numbers_of_their_run(kernels):
    def function(x):
        return (x**3 * nbgrad.randn(4, 5)).sum()

    compiled, x = nbgrad.jit(function), nbgrad.ones(4, 5, requires_grad=True)
    nbgrad.manual_seed(2)
    (expected,) = nbgrad.autograd.grad(function(x), x)
    nbgrad.manual_seed(2)
    y = compiled(x)
    nbgrad.randn(3)  # between the way there and the way back
    (found,) = nbgrad.autograd.grad(y, x, create_graph=True)
    np.testing.assert_allclose(found.data, expected.data, rtol=1e-12)
    (second,) = nbgrad.autograd.grad(found.sum(), x)
    np.testing.assert_allclose(second.data, 2 * expected.data, rtol=1e-12)


def test_several_generators_in_one_function(kernels):
    first, second = Generator().manual_seed(1), Generator().manual_seed(2)
    compiled = nbgrad.jit(lambda x: x * nbgrad.rand(3, generator=first) + nbgrad.rand(3, generator=second))
    found = compiled(np.ones(3))
    first.manual_seed(1), second.manual_seed(2)
    expected = nbgrad.rand(3, generator=first) + nbgrad.rand(3, generator=second)
    np.testing.assert_allclose(found.data, expected.data)


def test_seeding_inside_is_refused():
    with pytest.raises(TypeError, match="seeded inside a traced function"):
        nbgrad.jit(lambda x: (nbgrad.manual_seed(1), x)[1])(np.ones(2))
