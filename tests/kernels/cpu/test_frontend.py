"""Kernels' text as LLVM has it: what the same text means in Python, in Numba's types."""

import ctypes

import numpy as np
import pytest

from nbgrad.kernels.cpu import codegen, threads

HEAD = "def loop(args, dims, steps, data):\n    n = dims[0]\n"


def run(body, *arrays, length=None, before=""):
    """Run the body of a loop, in which arrays are a, b, ..., written into and given back."""
    lines = [f"{'abcdef'[i]} = {x.dtype.name}_pointer(args[{i}])" for i, x in enumerate(arrays)]
    text = before + HEAD + "".join(f"    {line}\n" for line in [*lines, *body.splitlines()])
    loop = threads.LOOP(codegen.address("test_frontend", text))
    pointers = (ctypes.c_void_p * len(arrays))(*[x.ctypes.data for x in arrays])
    sizes = (ctypes.c_ssize_t * 1)(arrays[0].size if length is None else length)
    loop(ctypes.addressof(pointers), ctypes.addressof(sizes), None, None)
    return arrays[-1]


WHOLE = np.array([-(2**63), -17, -8, -1, 0, 1, 7, 8, 17, 2**62], np.int64)
FLOATS = np.array([-np.inf, -7.5, -2.0, -0.0, 0.0, 0.3, 2.0, 7.5, np.inf, np.nan])


@pytest.mark.parametrize("divisor", [-8, -3, -1, 0, 1, 3, 8])
def test_whole_numbers_are_divided_downwards(divisor):
    """As in Python; by zero it is 0, and the least number over -1 wraps around."""
    by = np.full_like(WHOLE, divisor)
    for given in ("b[i]", f"int64({divisor})"):
        c = run(f"for i in range(n):\n    c[i] = a[i] // {given}", WHOLE, by, np.empty_like(WHOLE))
        d = run(f"for i in range(n):\n    c[i] = a[i] % {given}", WHOLE, by, np.empty_like(WHOLE))
        with np.errstate(all="ignore"):
            assert c.tolist() == np.floor_divide(WHOLE, by).tolist()
            assert d.tolist() == np.remainder(WHOLE, by).tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floating_numbers_are_divided_downwards(dtype):
    x, y = (grid.ravel().astype(dtype) for grid in np.meshgrid(FLOATS, FLOATS))
    c = run("for i in range(n):\n    c[i] = a[i] // b[i]", x, y, np.empty_like(x))
    d = run("for i in range(n):\n    c[i] = a[i] % b[i]", x, y, np.empty_like(x))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(c, np.floor_divide(x, y))
        np.testing.assert_array_equal(d, np.remainder(x, y))


def test_small_whole_numbers_are_computed_in_64_bits():
    a, b = np.array([120, -120], np.int8), np.array([200, 100], np.uint8)
    assert run("for i in range(n):\n    c[i] = a[i] + b[i]", a, b, np.empty(2, np.int64)).tolist() == [320, -20]
    assert run("for i in range(n):\n    c[i] = int8(a[i] * b[i])", a, b, np.empty(2, np.int64)).tolist() == [
        int(np.int64(120 * 200).astype(np.int8)),
        int(np.int64(-120 * 100).astype(np.int8)),
    ]


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "==", "!="])
def test_numbers_of_all_kinds_compare_as_numbers(operator):
    signed, unsigned = np.array([-1, 0, 5], np.int64), np.array([2**63 + 1, 0, 4], np.uint64)
    expected = [eval(f"int(x) {operator} int(y)") for x, y in zip(signed, unsigned, strict=True)]
    if operator not in ("==", "!="):
        text = f"for i in range(n):\n    c[i] = bool(a[i] {operator} b[i])"
        assert run(text, signed, unsigned, np.empty(3, np.uint8)).tolist() == expected
    values = np.array([np.nan, 1.0, 2.0])
    expected = [eval(f"x {operator} 1.0") for x in values]
    text = f"for i in range(n):\n    b[i] = bool(a[i] {operator} float64(1.0))"
    assert run(text, values, np.empty(3, np.uint8)).tolist() == expected


def test_what_is_not_chosen_is_not_read():
    """An address of zero would end the process."""
    text = """for i in range(n):
    a[i] = word_at(0) if a[i] > 5 else 3
    if a[i] > 5 and word_at(0) == 1 or a[i] == 3 and True:
        a[i] += 1"""
    assert run(text, np.arange(4)).tolist() == [4] * 4


def test_variables_are_what_was_assigned_last():
    text = """total = 0
last = -1
for i in range(n):
    if a[i] == 2:
        continue
    if a[i] > 6:
        break
    total += a[i]
    last = i
turns = 0
while total > 0:
    total //= 2
    turns += 1
    if turns == 100:
        break
count = 5 if last == 6 else 7
a[0] = last
a[1] = turns
a[2] = count
x, y = a[1], a[0]
a[3], a[4] = x, y
for i in range(4, 0, -2):
    a[5] = i
for i in range(np.uintp(1), np.uintp(9), np.uintp(3)):
    a[6] = i"""
    assert run(text, np.arange(9)).tolist()[:7] == [6, 5, 5, 5, 6, 2, 7]


def test_a_name_may_be_a_number_of_another_kind_later():
    text = """x = 1
a[0] = x
x = float64(a[0]) / 2
a[1] = x
if n > 1:
    x = x + 1
a[2] = x"""
    assert run(text, np.zeros(3)).tolist() == [1, 0.5, 1.5]


def test_functions_call_functions():
    before = """def halves(x):
    y = x / 2
    return y, x - y
def both(x):
    first, second = halves(x)
    return first * 10 + second
"""
    text = "for i in range(n):\n    a[i] = both(a[i])"
    assert run(text, np.array([1.0, 2.0]), before=before).tolist() == [5.5, 11.0]


def test_what_is_known_is_computed_before():
    text = "for i in range(n):\n    a[i] = (1 << 40) * 2.0**-38 + max(1, 3) if True and not False else word_at(0)"
    assert run(text, np.zeros(2)).tolist() == [7.0, 7.0]


@pytest.mark.parametrize(
    ("text", "message"), [("a[0] = nothing", "nothing is known of 'nothing'"), ("a[0] = 'a'", "is no number")]
)
def test_what_cannot_be_translated_is_refused(text, message):
    with pytest.raises((NameError, TypeError), match=message):
        run(text, np.zeros(1))
