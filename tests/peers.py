"""Other libraries to compare with."""

import importlib
import os
from typing import Any

import pytest


def peer(name: str) -> Any:
    """Import a peer, or skip the test without it; where NBGRAD_REQUIRE_PEERS is set a missing peer is an error."""
    if os.environ.get("NBGRAD_REQUIRE_PEERS"):
        return importlib.import_module(name)
    return pytest.importorskip(name)
