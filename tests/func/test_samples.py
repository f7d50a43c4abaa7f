"""PyTorch's own samples (see `torch_samples`) for many examples at once, forth and back."""

import numpy as np
import pytest
import torch_samples
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.func import grad, hvp, jacfwd, jacrev, jvp, vjp, vmap

#: The work is dealt out to so many.
SHARES = 4

#: Operations that are refused for many examples at once, by what the error says.
REFUSED = {
    "asks for the elements": "allclose equal histogram item linalg.lstsq unique_consecutive",
    "depend on elements": "argwhere nonzero unique_consecutive",
    "how many meet depends on elements": "index_reduce scatter scatter_reduce",
    "writes what differs from example to example": "nn.functional.batch_norm nn.functional.instance_norm",
    "there is no formula for its derivative": "special.zeta",
    "float16 has no gradients": "half",
}

#: Operations with samples that have no second derivative: the inverse of what lacks rank jumps where the rank does.
WITHOUT_CURVATURE = {"linalg.pinv"}


def is_refused(entry, error):
    """Tell whether an error is the one that is expected of an operation."""
    return any(words in str(error) and entry.name in names.split() for words, names in REFUSED.items())


def draws(f, x):
    """Tell whether a function draws random numbers, anew in each call."""
    pairs = zip(f(nbgrad.tensor(x)), f(nbgrad.tensor(x)), strict=True)
    return any(not np.array_equal(one.data, other.data, equal_nan=True) for one, other in pairs)


@pytest.fixture(scope="module", autouse=True)
def default_dtype():
    torch = peer("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def results(value):
    """Give all Variables in nests of them."""
    if isinstance(value, list | tuple):
        return tuple(part for item in value for part in results(item))
    return (value,) if isinstance(value, Variable) else (nbgrad.as_tensor(value),)


def samples(entry, function, most):
    """Give functions of one Variable, and what to try them on."""
    torch = peer("torch")
    for _, sample in zip(range(most), entry.sample_inputs("cpu", torch.float64, requires_grad=False), strict=False):
        x, rest = torch_samples.converted(sample.input), torch_samples.converted(list(sample.args))
        options = torch_samples.converted(sample.kwargs)
        if isinstance(x, Variable) and x.dtype == np.float64 and x.size:

            def of_one(v, rest=rest, options=options):
                return results(function(v, *rest, **options))

            try:
                of_one(x.detach())
            except Exception:
                continue  # which the samples' own test looks at
            if not draws(of_one, x.data):
                yield of_one, x.data


def check(f, x):
    """Hold a function for two examples against itself one by one, and its tangents against its cotangents.

    Gives the cotangents, if there is a way back.
    """
    two = np.stack([x, x * 0.9 + 0.01])
    expected = [f(nbgrad.tensor(one)) for one in two]
    found = vmap(f, randomness="different")(nbgrad.tensor(two))
    for mine, *wanted in zip(found, *expected, strict=True):
        np.testing.assert_allclose(mine.data, np.stack([w.data for w in wanted]), rtol=1e-7, atol=1e-9)
    if x.size > 60 or not all(y.requires_grad for y in f(nbgrad.Variable(x.copy()))):
        return None
    random = np.random.default_rng(0)
    value, tangents = jvp(f, (x,), (np.ones_like(x),))
    cotangents = tuple(random.normal(size=y.shape) for y in value)
    (back,) = vjp(f, x)[1](cotangents)
    forth = sum((u * t).sum() for u, t in zip(cotangents, tangents, strict=True))
    if not np.isfinite(forth):  # a slope that is no number gets to other elements by zero times it, as everywhere
        return None
    np.testing.assert_allclose(forth, back.sum(), rtol=1e-6, atol=1e-8)
    if sum(y.size for y in value) < 40:
        for mine, other in zip(jacfwd(f)(x), jacrev(f)(x), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-8)
    return cotangents


def check_to_second_order(f, two, weights):
    """Hold the Hessian of a weighted sum times a vector, for two examples, against itself one by one, every way."""

    def total(x):
        return sum((y * w).sum() for y, w in zip(f(nbgrad.as_tensor(x)), weights, strict=True))

    v = np.random.default_rng(1).normal(size=two.shape)
    try:
        expected = np.stack([hvp(total, x, d) for x, d in zip(two, v, strict=True)])
    except RuntimeError as error:
        assert "second" in str(error) or "backward works on arrays" in str(error), error
        return
    if not np.isfinite(expected).all():
        return
    scale = np.abs(expected).max(initial=1)

    def close(found, what):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8 * scale, err_msg=what)

    close(np.stack([grad(lambda u, d=d: (grad(total)(u) * d).sum())(x) for x, d in zip(two, v, strict=True)]), "back")
    twice = [jvp(lambda u, d=d: grad(total)(u), (x,), (d,))[1] for x, d in zip(two, v, strict=True)]
    close(np.stack(twice), "forth over back")
    last = [grad(lambda u, d=d: jvp(total, (u,), (d,))[1])(x) for x, d in zip(two, v, strict=True)]
    close(np.stack(last), "back over forth")
    close(vmap(lambda x, d: hvp(total, x, d), randomness="different")(two, v), "vmap(hvp)")
    close(hvp(lambda xs: vmap(total, randomness="different")(xs).sum(), two, v), "hvp(vmap)")
    curved = [(d * e).sum() for d, e in zip(v, expected, strict=True)]
    forth = [jvp(lambda u, d=d: jvp(total, (u,), (d,))[1], (x,), (d,))[1] for x, d in zip(two, v, strict=True)]
    np.testing.assert_allclose(forth, curved, rtol=1e-6, atol=1e-8 * scale, err_msg="forth over forth")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("share", range(SHARES))
def test_samples_for_many(share):
    count, wrong = 0, []
    for entry, function in list(torch_samples.existing())[share::SHARES]:
        if entry.name in torch_samples.UNDETERMINED:
            continue
        for f, x in samples(entry, function, 3):
            count += 1
            try:
                cotangents = check(f, x)
                if cotangents is not None and entry.name not in WITHOUT_CURVATURE:
                    check_to_second_order(f, np.stack([x, x * 0.9 + 0.01]), cotangents)
            except Exception as error:
                if not is_refused(entry, error):
                    wrong.append(f"{entry.name}: {type(error).__name__} {error}"[:300])
    assert count > 100
    assert not wrong, "\n".join(wrong)
