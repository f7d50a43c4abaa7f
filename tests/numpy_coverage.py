"""Which functions of NumPy and SciPy work on Variables, found out by calling all of them: docs/numpy.md.

Run as ``python -m tests.numpy_coverage``, with SciPy. Every public function of numpy, numpy.linalg, numpy.fft and
scipy.special is called with an array and with a Variable of the same numbers: it works if the values are NumPy's and
the gradient is that of central differences; it is constant where differences are 0; it raises, or it is wrong.
"""

from __future__ import annotations

import argparse
import sys
import types
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

if __package__:  # as a module of the tests, whose helpers are found by name
    sys.path.insert(0, str(Path(__file__).parent))

from numpy_calls import CALLS, MATRIX, SQUARE, VECTOR
from special_calls import arguments_of

import nbgrad
from nbgrad import Variable

DOCS = Path(__file__).parent.parent / "docs" / "numpy.md"

WORKS, CONSTANT, RAISES, WRONG, NONE = "works", "constant", "raises", "wrong", "not a function of real arrays"

#: What gives numbers as they come, or does something else than compute.
SKIPPED = {
    "array", "array2string", "array_repr", "array_str", "asanyarray", "asarray", "asarray_chkfinite",
    "ascontiguousarray", "asfortranarray", "asmatrix", "base_repr", "binary_repr", "bmat", "busday_count",
    "busday_offset", "copyto", "datetime_as_string", "datetime_data", "einsum_path", "fill_diagonal",
    "format_float_positional", "format_float_scientific", "from_dlpack", "frombuffer", "fromfile", "fromfunction",
    "fromiter", "frompyfunc", "fromregex", "fromstring", "genfromtxt", "get_include", "get_printoptions", "getbufsize",
    "geterr", "geterrcall", "info", "is_busday", "isdtype", "issubdtype", "iterable", "load", "loadtxt", "mintypecode",
    "nested_iters", "packbits", "place", "printoptions", "promote_types", "put", "put_along_axis", "putmask", "require",
    "save", "savetxt", "savez", "savez_compressed", "set_printoptions", "setbufsize", "seterr", "seterrcall",
    "show_config", "show_runtime", "test", "typename", "unpackbits",
}  # fmt: skip

#: How ufuncs are called that need other arguments than numbers from 0.2 to 0.9.
UFUNCS = {
    "arccosh": (VECTOR + 1,), "acosh": (VECTOR + 1,), "ldexp": (VECTOR, np.array([1, -2, 0, 3])),
    "matvec": (SQUARE, VECTOR[:3]), "vecmat": (VECTOR[:3], SQUARE), "matmul": (MATRIX, MATRIX.T),
    "divmod": (MATRIX + 5, np.full((3, 4), 2.3)), "remainder": (MATRIX + 5, np.full((3, 4), 2.3)),
    "mod": (MATRIX + 5, np.full((3, 4), 2.3)), "fmod": (MATRIX, np.full((3, 4), 0.7)),
    "floor_divide": (MATRIX, np.full((3, 4), 0.7)),
}  # fmt: skip

#: Functions of scipy.special that are no ufuncs: how they are called, in `nbgrad.interop.scipy.special`.
SPECIAL: dict[str, Callable[[Any, Any], Any]] = {
    "logsumexp": lambda f, x: f(x, axis=1), "softmax": lambda f, x: f(x, axis=1),
    "log_softmax": lambda f, x: f(x, axis=0), "softplus": lambda f, x: f(x),
    "polygamma": lambda f, x: f(2, x * x + 1), "multigammaln": lambda f, x: f(x * x + 3, 2),
    "comb": lambda f, x: f(x * x + 5, 2.5), "factorial": lambda f, x: f(x * x), "sinc": lambda f, x: f(x),
    "jvp": lambda f, x: f(1.0, x * x + 1, 2), "yvp": lambda f, x: f(1.0, x * x + 1, 2),
    "ivp": lambda f, x: f(1.0, x * x + 1, 2), "kvp": lambda f, x: f(1.0, x * x + 1, 2),
    "perm": lambda f, x: f(x * x + 5, 2.0), "zeta": lambda f, x: f(x * x + 2), "diric": lambda f, x: f(x, 3),
    "spherical_jn": lambda f, x: f(2, x * x + 1), "spherical_yn": lambda f, x: f(2, x * x + 1),
    "spherical_in": lambda f, x: f(2, x * x + 1), "spherical_kn": lambda f, x: f(2, x * x + 1),
    "lambertw": lambda f, x: f(x * x + 1), "legendre_p": lambda f, x: f(2, x / 3),
    "exp10": lambda f, x: f(x),
}  # fmt: skip


#: A function of one array, and the array.
Probe = tuple[Callable[[Any], Any], Any]


class Found(NamedTuple):
    """What became of a function."""

    state: str
    detail: str = ""


def probe(function: Callable[[Any], Any], x: Any) -> Found:
    """Call a function of one array with it and with a Variable, and hold one against the other."""
    try:
        expected = _arrays(function(x.copy()))
    except Exception as error:
        return Found(NONE, f"{type(error).__name__} for arrays")
    if not expected or all(np.isnan(v).all() for v in expected):
        return Found(NONE, "NaN" if expected else "no numbers")
    variable = Variable(x.copy())
    try:
        made = function(variable)
    except Exception as error:
        return Found(RAISES if _slope(function, x, expected) is not None else CONSTANT, _short(error))
    found = _arrays(made)
    if len(found) != len(expected):
        return Found(WRONG, f"{len(found)} results, not {len(expected)}")
    for mine, wanted in zip(found, expected, strict=True):
        if mine.shape != wanted.shape or not np.allclose(mine, wanted, rtol=1e-9, atol=1e-11, equal_nan=True):
            return Found(WRONG, f"values {mine} where NumPy has {wanted}")
    recorded = [y for y in _leaves(made) if isinstance(y, Variable) and y.requires_grad]
    slope = _slope(function, x, expected)
    if not recorded:
        return Found(CONSTANT) if slope is None else Found(WRONG, "the gradient is lost")
    return _gradient(function, x, recorded)


def _gradient(function: Callable[[Any], Any], x: Any, recorded: list[Any]) -> Found:
    """Hold a gradient against central differences, of a sum of all results with weights."""

    def total(values: list[Any]) -> float:
        weighed = [np.cos(np.arange(v.size) + i).reshape(v.shape) * v for i, v in enumerate(values)]
        return float(sum(np.sum(w) for w in weighed))

    def of_array(x: Any) -> float:
        with nbgrad.no_grad():
            return total([y.data for y in _leaves(function(Variable(x, requires_grad=False))) if _is_real(y)])

    variable = Variable(x.copy())
    values = [y for y in _leaves(function(variable)) if _is_real(y)]
    seeds = [np.cos(np.arange(y.size) + i).reshape(y.shape).astype(y.dtype) for i, y in enumerate(values)]
    pairs = [(y, seed) for y, seed in zip(values, seeds, strict=True) if isinstance(y, Variable) and y.requires_grad]
    try:
        ys, starts = map(list, zip(*pairs, strict=True))
        (gradient,) = nbgrad.autograd.grad(ys, [variable], starts, allow_unused=True)
    except Exception as error:
        return Found(RAISES, _short(error))
    wanted = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = 1e-6
        wanted[place] = (of_array(x + step) - of_array(x - step)) / 2e-6
    mine = np.zeros(x.shape) if gradient is None else gradient.data
    if not np.allclose(mine, wanted, rtol=1e-4, atol=1e-6):
        return Found(WRONG, f"gradient {mine} where differences are {wanted}")
    return Found(WORKS)


def _slope(function: Callable[[Any], Any], x: Any, values: list[Any]) -> Any:
    """Give the difference that a small step makes, None where it makes none, or whole ones."""
    real = [v for v in values if v.dtype.kind in "fc"]
    if not real:
        return None
    try:
        results = _arrays(function(x + 1e-6 * np.cos(np.arange(x.size)).reshape(x.shape)))
    except Exception:
        return None
    nearby = [v for v in results if v.dtype.kind in "fc"]
    if [v.shape for v in nearby] != [v.shape for v in real]:
        return None
    moved = [np.max(np.abs(a - b), initial=0) for a, b in zip(nearby, real, strict=True)]
    largest = max(moved, default=0)
    return largest if 1e-12 < largest < 0.1 else None


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def _is_real(value: Any) -> bool:
    return isinstance(value, Variable) and value.dtype.kind == "f"


def _arrays(value: Any) -> list[Any]:
    """Give the arrays of numbers among results."""
    found = []
    for leaf in _leaves(value):
        leaf = leaf.data if isinstance(leaf, Variable) else leaf
        if isinstance(leaf, np.ndarray | np.generic | bool | int | float) and np.asarray(leaf).dtype.kind in "fiubc":
            found.append(np.asarray(leaf))
    return found


def _short(error: Exception) -> str:
    text = str(error).split(": ", 1)[-1].split(";")[0].replace("|", "/").replace("\n", " ")
    return f"{type(error).__name__}: {text[:110]}"


def calls_of_numpy(module: types.ModuleType, prefix: str) -> dict[str, Probe]:
    """Give how each public function of a module of NumPy's is called, and with what."""
    calls: dict[str, Probe] = {}
    for name in sorted(dir(module)):
        function = getattr(module, name)
        if name.startswith("_") or not callable(function) or isinstance(function, type):
            continue
        if prefix == "np" and name in SKIPPED:
            continue
        full = f"{prefix}.{name}"
        if isinstance(function, np.ufunc):
            arguments = UFUNCS.get(name, tuple([VECTOR / 4 + 0.1 * i for i in range(function.nin)]))
            others = arguments[1:]
            calls[full] = (lambda x, f=function, others=others: f(x, *others)), arguments[0]
            continue
        call = CALLS.get(full, lambda f, x: f(x))
        if name == "astype":  # differences need all digits
            call = lambda f, x: f(x, np.float64)  # noqa: E731
        calls[full] = (lambda x, f=function, call=call: call(f, x)), MATRIX
    return calls


def calls_of_scipy() -> dict[str, Probe]:
    """Give how each function of scipy.special is called: a ufunc by each floating argument, the others as stated."""
    import scipy.special

    calls: dict[str, Probe] = {}
    for name in sorted(dir(scipy.special)):
        function = getattr(scipy.special, name)
        if isinstance(function, np.ufunc):
            arguments = arguments_of(function)
            places = [i for i, a in enumerate(arguments) if a.dtype.kind == "f"]
            for i in places:
                full = f"scipy.special.{name}" + (f" by argument {i}" if len(places) > 1 else "")
                calls[full] = (lambda x, f=function, a=arguments, i=i: f(*a[:i], x, *a[i + 1 :])), arguments[i]
        elif name in SPECIAL:
            calls[f"scipy.special.{name}"] = (lambda x, name=name: _by_type(name, x)), MATRIX
    return calls


def _by_type(name: str, x: Any) -> Any:
    """Call SciPy's function with an array, ours with a Variable."""
    import scipy.special

    from nbgrad.interop.scipy import special

    return SPECIAL[name](getattr(special if isinstance(x, Variable) else scipy.special, name), x)


GROUPS: dict[str, Callable[[], dict[str, Probe]]] = {
    "numpy": lambda: calls_of_numpy(np, "np"),
    "numpy.linalg": lambda: calls_of_numpy(np.linalg, "np.linalg"),
    "numpy.fft": lambda: calls_of_numpy(np.fft, "np.fft"),
    "scipy.special": calls_of_scipy,
}


def probed() -> dict[str, dict[str, Found]]:
    """Probe all functions, by groups and names."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return {group: {name: probe(*call) for name, call in calls().items()} for group, calls in GROUPS.items()}


PREFACE = """# NumPy's and SciPy's functions on Variables

Written by `python -m tests.numpy_coverage`, which calls every public function with arrays and with Variables. One works
if its values are NumPy's and its gradient is that of central differences, to 1e-4; one is constant if its result does
not change with small steps: truth, places, shapes, steps. SciPy's ufuncs are called for each argument, and count as one
that works if they do by one: there are no formulas for the others, and to ask for one is an error. What writes in place
(`np.put`, `np.place`, `np.putmask`, `np.put_along_axis`, `np.fill_diagonal`, `np.copyto`, `ufunc.at`) works on
Variables, and is left out, as are functions of dates, text and files.
"""


def page(found: dict[str, dict[str, Found]]) -> str:
    """Write what was found as a page."""
    versions = f"NumPy {np.__version__}, SciPy {version('scipy')}, nbgrad {nbgrad.__version__}."
    lines = [PREFACE, versions, "", "| | work | constant | raise | wrong | of the differentiable work |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    total = dict.fromkeys((WORKS, CONSTANT, RAISES, WRONG), 0)
    for group, functions in found.items():
        counts = dict.fromkeys(total, 0)
        states: dict[str, set[str]] = {}
        for name, f in functions.items():
            states.setdefault(name.split(" by ")[0], set()).add(f.state)
        for by_argument in states.values():
            state = next((state for state in (WRONG, WORKS, RAISES, CONSTANT) if state in by_argument), None)
            if state is not None:
                counts[state] += 1
        total = {state: total[state] + counts[state] for state in total}
        lines.append(_row(f"`{group}`", counts))
    lines += [_row("all", total), ""]
    for group, functions in found.items():
        lines += [f"## {group}", ""]
        for state, title in ((WORKS, "Work"), (CONSTANT, "Constant")):
            names = [f"`{name.split('.')[-1]}`" for name, f in functions.items() if f.state == state]
            lines += [f"{title}: {', '.join(names) or 'none'}.", ""]
        refused = {name: f for name, f in functions.items() if f.state in (RAISES, WRONG)}
        if refused:
            lines += ["| raises | what it says |", "| --- | --- |"]
            lines += [f"| `{name}`{' **wrong**' * (f.state == WRONG)} | {f.detail} |" for name, f in refused.items()]
            lines.append("")
    return "\n".join(lines)


def _row(name: str, counts: dict[str, int]) -> str:
    differentiable = counts[WORKS] + counts[RAISES] + counts[WRONG]
    share = f"{counts[WORKS] / differentiable:.0%}" if differentiable else ""
    return f"| {name} | {counts[WORKS]} | {counts[CONSTANT]} | {counts[RAISES]} | {counts[WRONG]} | {share} |"


def main() -> None:
    """Probe, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=DOCS)
    parser.add_argument("--show", action="store_true", help="print what is not in order instead of writing")
    options = parser.parse_args()
    found = probed()
    if options.show:
        for functions in found.values():
            for name, f in functions.items():
                if f.state in (RAISES, WRONG, NONE):
                    print(f"{name:40} {f.state:8} {f.detail}")
        print(page(found).split("##")[0])
        return
    options.output.write_text(page(found))


if __name__ == "__main__":
    main()
