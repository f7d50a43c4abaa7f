"""Programs that were written for PyTorch run here by other import lines, with the same losses from the same weights."""

import re
from pathlib import Path

import numpy as np
import pytest
from peers import peer

PROGRAMS = sorted(path.name for path in (Path(__file__).parent / "torch_programs").glob("*.py"))


def moved(source):
    """Change a program's import lines, and nothing else."""
    lines = []
    for line in source.splitlines():
        line = re.sub(r"^import torch$", "import nbgrad as torch", line)
        line = re.sub(r"^import torch\.(\S+) as (\w+)$", lambda m: f"import nbgrad.{m[1]} as {m[2]}", line)
        lines.append(re.sub(r"^from torch(\S*) import", r"from nbgrad\1 import", line))
    return "\n".join(lines)


def run(source, **options):
    namespace = {"__name__": "program"}
    exec(compile(source, "program", "exec"), namespace)
    return namespace["main"](**options)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_run_by_their_import_lines(name):
    torch = peer("torch")
    if "sklearn" in (source := (Path(__file__).parent / "torch_programs" / name).read_text()):
        peer("sklearn")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        start, expected = run(source)
    finally:
        torch.set_default_dtype(before)
    changed = moved(source)
    assert sum(a != b for a, b in zip(changed.splitlines(), source.splitlines(), strict=True)) <= 6
    begun, losses = run(changed, start=start)
    for key, value in start.items():
        np.testing.assert_array_equal(begun[key], value)
    np.testing.assert_allclose(losses, expected, rtol=1e-6, atol=1e-8)
    assert losses[0] != losses[-1]
