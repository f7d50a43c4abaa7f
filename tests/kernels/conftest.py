"""What the tests of kernels share."""

import pytest
from recording_target import Recording, RecordingArray

from nbgrad.kernels import placement
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


@pytest.fixture
def recording():
    """Give a target that is known for the test, registered as anybody would."""
    found = Recording()
    placement.register("recording", RecordingArray, lambda where: found)
    yield found
    del placement.away[RecordingArray], placement._named["recording"]
