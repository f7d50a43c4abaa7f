"""Compiled functions whose kernels are interpreted, which takes no time to compile."""

import pytest


@pytest.fixture(params=["interpreted", pytest.param("compiled", marks=pytest.mark.slow)])
def kernels(request, monkeypatch):
    """Have fused loops interpreted, with every access held against its array; in long runs compiled as well."""
    if request.param == "interpreted":
        from interpreter import interpret_loops

        interpret_loops(monkeypatch)
