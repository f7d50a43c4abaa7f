"""What the tests of kernels share."""

import pytest

from nbgrad.kernels.cpu import codegen


@pytest.fixture
def compiled(monkeypatch):
    """Count compilations."""
    seen = []
    compile_ = codegen._compile

    def counting(source, *rest):
        seen.append(source)
        return compile_(source, *rest)

    monkeypatch.setattr(codegen, "_compile", counting)
    return seen
