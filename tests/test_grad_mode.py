"""no_grad, enable_grad and set_grad_enabled, in all their uses."""

import asyncio
import threading

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable, enable_grad, is_grad_enabled, no_grad, set_grad_enabled


def leaf() -> Variable:
    return Variable(np.array([1.0, 2.0]))


def test_recording_is_on_at_first():
    assert is_grad_enabled() is True


def test_no_grad_records_nothing():
    x = leaf()
    with no_grad():
        results = [x * 2, x + x, x.sum(), x @ x, x[0], x.reshape(2, 1), nbgrad.exp(x), nbgrad.cat([x, x]), x.clone()]
    for y in results:
        assert not y.requires_grad
        assert y.creator is None
        assert y.generation == 0
    assert (x * 2).requires_grad


def test_leaves_made_under_no_grad_are_leaves_all_the_same():
    with no_grad():
        x = leaf()
        y = nbgrad.tensor([1.0], requires_grad=True)
    assert x.requires_grad and y.requires_grad
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [3, 3])


def test_modes_nest():
    seen = []
    with no_grad():
        seen.append(is_grad_enabled())
        with enable_grad():
            seen.append(is_grad_enabled())
            with no_grad():
                seen.append(is_grad_enabled())
            seen.append(is_grad_enabled())
        seen.append(is_grad_enabled())
    seen.append(is_grad_enabled())
    assert seen == [False, True, False, True, False, True]


def test_enable_grad_records_within_no_grad():
    x = leaf()
    with no_grad(), enable_grad():
        y = (x * x).sum()
    y.backward()
    np.testing.assert_array_equal(x.grad.data, [2, 4])


@pytest.mark.parametrize(
    "mode", [no_grad, enable_grad, lambda: set_grad_enabled(False), lambda: set_grad_enabled(True)]
)
def test_an_exception_restores_the_mode(mode):
    for outer in (True, False):
        with set_grad_enabled(outer):
            with pytest.raises(KeyError, match="inside"), mode():
                raise KeyError("inside")
            assert is_grad_enabled() is outer


def test_one_instance_is_reusable_and_reentrant():
    quiet = no_grad()
    for _ in range(2):
        with quiet:
            with quiet:
                assert not is_grad_enabled()
            assert not is_grad_enabled()
        assert is_grad_enabled()


def test_backward_works_under_no_grad():
    x = leaf()
    y = (x * x).sum()
    with no_grad():
        y.backward()
    np.testing.assert_array_equal(x.grad.data, [2, 4])


def test_create_graph_under_no_grad_records():
    x = leaf()
    y = (x**3).sum()
    with no_grad():
        (gx,) = nbgrad.autograd.grad(y, x, create_graph=True)
        assert not is_grad_enabled()
    (ggx,) = nbgrad.autograd.grad(gx.sum(), x)
    np.testing.assert_allclose(ggx.data, 6 * x.data)


# ---- set_grad_enabled -----------------------------------------------------------------------------------------------


def test_set_grad_enabled_switches_at_once():
    try:
        set_grad_enabled(False)
        assert not is_grad_enabled()
        assert not (leaf() * 2).requires_grad
        set_grad_enabled(True)
        assert is_grad_enabled()
    finally:
        set_grad_enabled(True)


def test_set_grad_enabled_as_a_context_manager():
    with set_grad_enabled(False):
        assert not is_grad_enabled()
        with set_grad_enabled(True):
            assert is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_set_grad_enabled_instance_is_reusable():
    mode = set_grad_enabled(False)
    for _ in range(2):
        with mode, mode:
            assert not is_grad_enabled()
        assert is_grad_enabled()


@pytest.mark.parametrize("mode", [0, 1, None, "no"])
def test_set_grad_enabled_takes_booleans(mode):
    with pytest.raises(TypeError, match="needs True or False"):
        set_grad_enabled(mode)
    assert is_grad_enabled()


# ---- decorators -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (no_grad, False),
        (enable_grad, True),
        (lambda: set_grad_enabled(False), False),
        (lambda: set_grad_enabled(True), True),
    ],
)
def test_decorated_functions(mode, expected):
    @mode()
    def decorated(factor, *, offset):
        """Multiply and add."""
        return is_grad_enabled(), factor * 2 + offset

    assert is_grad_enabled(), "decorating alone must not switch"
    assert decorated.__name__ == "decorated" and decorated.__doc__ == "Multiply and add."
    for outer in (True, False):
        with set_grad_enabled(outer):
            assert decorated(3, offset=1) == (expected, 7)
            assert is_grad_enabled() is outer


def test_a_decorated_function_that_raises_or_recurses():
    @no_grad()
    def countdown(n):
        assert not is_grad_enabled()
        if not n:
            raise LookupError("the bottom")
        countdown(n - 1)

    with pytest.raises(LookupError, match="the bottom"):
        countdown(3)
    assert is_grad_enabled()


def test_a_decorated_generator_keeps_its_mode_to_itself():
    inside, outside = [], []

    @no_grad()
    def numbers():
        inside.append(is_grad_enabled())
        yield 1
        inside.append(is_grad_enabled())
        yield 2
        inside.append(is_grad_enabled())
        return "end"

    def delegating():
        result = yield from numbers()
        assert result == "end"

    for _ in delegating():
        outside.append(is_grad_enabled())
    assert inside == [False] * 3
    assert outside == [True] * 2
    assert is_grad_enabled()


def test_a_decorated_generator_takes_what_is_sent():
    @no_grad()
    def echo():
        got = yield "ready"
        while True:
            got = yield got, is_grad_enabled()

    generator = echo()
    assert next(generator) == "ready"
    assert generator.send(5) == (5, False)
    assert generator.send(6) == (6, False)
    assert is_grad_enabled()


def test_a_decorated_generator_sees_what_is_thrown_and_is_closed_in_its_mode():
    log = []

    @no_grad()
    def guarded():
        try:
            while True:
                try:
                    yield "item"
                except ValueError:
                    log.append(("caught", is_grad_enabled()))
        finally:
            log.append(("closed", is_grad_enabled()))

    generator = guarded()
    next(generator)
    assert generator.throw(ValueError("thrown")) == "item"
    generator.close()
    assert log == [("caught", False), ("closed", False)]
    assert is_grad_enabled()


def test_a_decorated_generator_that_raises():
    @no_grad()
    def failing():
        yield 1
        raise LookupError("spent")

    with pytest.raises(LookupError, match="spent"):
        list(failing())
    assert is_grad_enabled()


def test_a_decorated_coroutine_runs_in_its_mode():
    @no_grad()
    async def coroutine():
        before = is_grad_enabled()
        await asyncio.sleep(0)
        return before, is_grad_enabled()

    async def main():
        modes = await coroutine()
        return modes, is_grad_enabled()

    assert asyncio.run(main()) == ((False, False), True)


def test_decorators_agree_with_torch():
    torch = peer("torch")

    def modes(library):
        @library.no_grad()
        def off():
            return library.is_grad_enabled()

        @library.enable_grad()
        def on():
            return library.is_grad_enabled(), off()

        @library.no_grad()
        def outer():
            return off(), on(), library.is_grad_enabled()

        return outer()

    assert modes(nbgrad) == modes(torch)


# ---- threads and tasks ----------------------------------------------------------------------------------------------


def test_a_thread_has_its_own_mode():
    seen = {}
    entered, checked = threading.Event(), threading.Event()

    def work():
        seen["at first"] = is_grad_enabled()
        with no_grad():
            entered.set()
            assert checked.wait(30)
            seen["within"] = is_grad_enabled()

    with no_grad():
        thread = threading.Thread(target=work)
        thread.start()
        assert entered.wait(30)
    # here recording is on, while the thread is within its no_grad
    seen["outside"] = is_grad_enabled()
    checked.set()
    thread.join()
    assert seen == {"at first": True, "outside": True, "within": False}


def test_one_instance_in_two_threads():
    quiet = no_grad()
    first_in, second_in, first_out = (threading.Event() for _ in range(3))
    seen, errors = [], []

    def first():
        try:
            with quiet:
                first_in.set()
                assert second_in.wait(30)
            seen.append(("first", is_grad_enabled()))
        except Exception as error:
            errors.append(error)
        finally:
            first_out.set()

    def second():
        try:
            assert first_in.wait(30)
            with quiet:
                second_in.set()
                assert first_out.wait(30)
                seen.append(("second, within", is_grad_enabled()))
            seen.append(("second", is_grad_enabled()))
        except Exception as error:
            errors.append(error)
        finally:
            second_in.set()

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert seen == [("first", True), ("second, within", False), ("second", True)]


def test_tasks_have_their_own_modes():
    async def quiet(turns):
        with no_grad():
            for _ in range(turns):
                await asyncio.sleep(0)
                assert not is_grad_enabled()
            return (leaf() * 2).requires_grad

    async def loud(turns):
        for _ in range(turns):
            await asyncio.sleep(0)
            assert is_grad_enabled()
        return (leaf() * 2).requires_grad

    async def main():
        return await asyncio.gather(quiet(5), loud(5), quiet(3), loud(7))

    assert asyncio.run(main()) == [False, True, False, True]


def test_one_instance_in_two_tasks():
    shared = no_grad()

    async def task(turns):
        with shared:
            for _ in range(turns):
                await asyncio.sleep(0)
            within = is_grad_enabled()
        return within, is_grad_enabled()

    async def main():
        return await asyncio.gather(task(1), task(3))

    assert asyncio.run(main()) == [(False, True), (False, True)]


def test_inference_mode_is_another_name_in_every_form():
    x = nbgrad.ones(2, requires_grad=True)

    @nbgrad.inference_mode()
    def called(x):
        return x * 2

    @nbgrad.inference_mode
    def bare(x):
        return x * 2

    assert not called(x).requires_grad and not bare(x).requires_grad and bare.__name__ == "bare"
    with nbgrad.inference_mode():
        assert not (x * 2).requires_grad
        with nbgrad.inference_mode(False):
            assert (x * 2).requires_grad
    with nbgrad.inference_mode(mode=True):
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
