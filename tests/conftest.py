"""What all tests share: the helper modules beside this file by name, and random numbers from a seed."""

import gc
import os
import sys
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Use all cores where pytest-xdist is installed and nothing else is asked for."""
    if config.pluginmanager.hasplugin("xdist") and config.getoption("numprocesses", None) is None:
        if not hasattr(config, "workerinput") and not config.getoption("usepdb"):
            config.option.numprocesses, config.option.dist = "auto", "worksteal"


def pytest_configure(config: pytest.Config) -> None:
    # the same examples in every run, which fails for what was changed alone; long runs look for others
    hypothesis.settings.register_profile(
        "nbgrad", deadline=None, derandomize=not os.environ.get("NBGRAD_SEARCH"), print_blob=True
    )
    hypothesis.settings.load_profile("nbgrad")
    if config.getoption("markexpr") == "cuda":  # before tests/cuda is collected, which is left out otherwise
        os.environ.setdefault("NBGRAD_TEST_CUDA", "1")
    if os.environ.get("NBGRAD_TEST_LAYOUT") == "unknown":  # as where arrays cannot be read by their layout
        from nbgrad.kernels.cpu import caller, launch, ndarray

        caller.layout_holds = launch.layout_holds = ndarray.layout_holds = lambda: False


def pytest_collection_finish() -> None:
    """Leave all that the tests and the peers have imported out of garbage collections, which look at all there is."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded() -> None:
    import nbgrad

    nbgrad.manual_seed(0)


@pytest.fixture(params=["interpreted", pytest.param("compiled", marks=pytest.mark.slow)])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have fused loops interpreted, with every access held against its array; in long runs compiled as well."""
    if request.param == "interpreted":
        from interpreter import interpret_loops

        interpret_loops(monkeypatch)
