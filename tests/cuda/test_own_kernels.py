"""The example of docs/cuda.md: a kernel of the user's own as a Function."""

import re
from pathlib import Path

import numpy as np
import pytest

import nbgrad

PAGE = Path(__file__).parents[2] / "docs" / "cuda.md"


def example():
    """Give the text of the page's example."""
    (text,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "@cuda.jit" in block]
    return text


def test_the_example_is_python():
    compile(example(), "docs/cuda.md", "exec")


@pytest.mark.cuda
def test_the_example_is_a_function():
    names = {"nbgrad": nbgrad}
    exec(example(), names)
    x = nbgrad.tensor(np.linspace(-3, 3, 1001), device="cuda", requires_grad=True)
    y = names["Swish"]()(x)
    y.sum().backward()
    host = nbgrad.tensor(np.linspace(-3, 3, 1001), requires_grad=True)
    expected = host * nbgrad.sigmoid(host)
    expected.sum().backward()
    np.testing.assert_allclose(y.cpu().data, expected.data, rtol=1e-14)
    np.testing.assert_allclose(x.grad.cpu().data, host.grad.data, rtol=1e-14)
