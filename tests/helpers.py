"""What tests of several files share."""

from collections.abc import Iterable
from typing import Any

import pytest


def usually(values: Iterable[Any], *chosen: Any) -> list[Any]:
    """Give parameters of which only the chosen ones are tried in short runs of the suite."""
    return [value if value in chosen else pytest.param(value, marks=pytest.mark.slow) for value in values]
