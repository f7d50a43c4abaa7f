"""GradBench's problems: nbgrad and the C++ agree, and are what NumPy and SciPy give where these have the same."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbgrad

from . import gradbench

PROBLEMS = ("lse", "kmeans", "llsq", "ode", "gmm", "lstm", "ba", "det", "ht")


def distances(compiled: Any) -> dict[str, Any]:
    return {name.partition(",")[0]: apart for name, (_, _, apart) in gradbench.cases(compiled).items()}


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if shutil.which("g++") is None:
        pytest.skip("there is no g++")
    return distances(gradbench.library(gradbench.BY_HAND, str(tmp_path_factory.mktemp("gradbench"))))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_gradients_are_those_by_hand(by_hand: dict[str, Any], problem: str) -> None:
    assert by_hand.keys() == set(PROBLEMS)
    assert by_hand[problem]() < 1e-9


@pytest.mark.slow  # g++ takes 20 s for CppAD's templates
def test_gradients_are_those_of_cppad(tmp_path: Path) -> None:
    compiled = gradbench.with_cppad(str(tmp_path))
    if compiled is None:
        pytest.skip("there is no CppAD, or no g++")
    found = distances(compiled)
    assert found.keys() == set(PROBLEMS)
    for problem, apart in found.items():
        assert apart() < 1e-9, problem


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_the_determinant_is_numpys(n: int) -> None:
    a = np.random.default_rng(n).normal(size=(n, n))
    value, gradient = nbgrad.value_and_grad(nbgrad.njit(gradbench.det))(a)
    np.testing.assert_allclose(value, np.linalg.det(a), rtol=1e-10)
    np.testing.assert_allclose(gradient, value * np.linalg.inv(a).T, rtol=1e-10)


def hand_in_numpy(theta: Any, parents: Any, relatives: Any, inverses: Any, base: Any, weights: Any, mirror: float,
                  seen: Any, points: Any) -> Any:  # fmt: skip
    """The definition on whole matrices, with SciPy's rotations."""
    rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    angles = np.zeros((len(parents), 2))
    for finger in range(5):
        angles[4 * finger + 2] = theta[6 + 4 * finger : 8 + 4 * finger]
        angles[4 * finger + 3 : 4 * finger + 5, 0] = theta[8 + 4 * finger : 10 + 4 * finger]
    absolutes: list[Any] = []
    skin = np.zeros((4, base.shape[1]))
    for b, parent in enumerate(parents):
        bend = np.eye(4)
        bend[:3, :3] = rotation.from_euler("xz", angles[b]).as_matrix()
        above = absolutes[parent] if parent >= 0 else np.eye(4)
        absolutes.append(above @ relatives[b] @ bend)
        skin += weights[b] * (absolutes[b] @ inverses[b] @ base)
    skin[0] *= mirror
    return points - (rotation.from_rotvec(theta[:3]).as_matrix() @ skin[:3]).T[seen] - theta[3:6]


def test_the_hand_is_the_definitions() -> None:
    theta, *model = gradbench.hand(np.random.default_rng(0), 22, 30, 40)
    along = nbgrad.njit(gradbench.turned_hand).entry("jvp", 1, (0,))
    for k in range(26):
        step = np.zeros(26)
        step[k] = 1.0
        value, tangent = along(theta, *model, step)
        np.testing.assert_allclose(value, hand_in_numpy(theta, *model), atol=1e-12)
        difference = (hand_in_numpy(theta + 1e-5 * step, *model) - hand_in_numpy(theta - 1e-5 * step, *model)) / 2e-5
        np.testing.assert_allclose(tangent, difference, atol=1e-6)
