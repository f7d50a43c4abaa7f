"""Random programs agree in eager mode, under jit and in torch; so many that their kernels are interpreted."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import random_programs
from interpreter import Interpreted, interpret_loops
from peers import peer
from random_programs import Input, Instruction, Program, Writer, disagreement, shrunk

ROOT = Path(__file__).parent.parent


def run(*arguments, **environment):
    """Run the command; gives what it printed."""
    peer("torch")
    command = [sys.executable, "-m", "tests.random_programs", "--quiet", "--each", "1", *arguments]
    ran = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


#: Loops that are written by hand, which stay compiled.
BY_HAND = ("add_along", "cross_entropy", "layer_norm", "nll", "prod_vjp", "take_along")


#: Where others are looked for than in every run, as hypothesis then does: see conftest.py.
SEED = [] if os.environ.get("NBGRAD_SEARCH") else ["--seed", "0"]


def test_random_programs(tmp_path):
    text = run("--processes", "1", "--count", "1000", *SEED, NBGRAD_CACHE_DIR=str(tmp_path))
    assert "\n0 disagree" in text
    compiled = [path.name for path in tmp_path.rglob("*.*") if not path.name.startswith(BY_HAND)]
    assert not compiled, "a kernel that is generated was compiled"


@pytest.mark.slow
def test_compiled_random_programs():
    assert "\n0 disagree" in run("--count", "200", "--compiled")


@pytest.mark.slow
def test_random_programs_on_large_arrays():
    assert "\n0 disagree" in run("--count", "2000", "--large")
    assert "\n0 disagree" in run("--count", "60", "--large", "--compiled")


#: Of two inputs: what is wrong in it can be found, and made small.
PROGRAM = Program(
    (Input(0, (3, 4), "float64"), Input(1, (4,), "float32", "strided")),
    (
        Instruction(2, "mul", (0, 1), (), (3, 4)),
        Instruction(3, "permute", (2,), ((1, 0),), (4, 3)),
        Instruction(4, "neg", (3,), (), (4, 3)),
        Instruction(5, "sum", (4,), ((0,), False), (3,)),
        Instruction(6, "mul", (5, 3), (), (4, 3)),
    ),
    (4, 6),
    2,
    "the values",
    False,
    0,
)


@pytest.mark.parametrize("way", ["the values", "everything"])
def test_a_wrong_kernel_is_found(way, monkeypatch):
    class Wrong(Interpreted):
        def source(self, nest):
            return super().source(nest).replace("p0_row + j", "p0_row + 0 * j")

    peer("torch")
    program = PROGRAM._replace(way=way)
    interpret_loops(monkeypatch)
    assert disagreement(program) is None
    interpret_loops(monkeypatch, Wrong)
    assert disagreement(program) == "jit: value N"


def test_programs_are_made_small(monkeypatch):
    def wrong(program):
        names = [step.name for step in program.steps]
        return "jit: gradient N" if "permute" in names and "sum" in names else None

    monkeypatch.setattr(random_programs, "disagreement", wrong)
    small = shrunk(PROGRAM, "jit: gradient N")
    assert [step.name for step in small.steps] == ["permute", "sum"]
    assert (small.order, small.outputs, small.way, len(small.inputs)) == (0, (5,), "everything", 1)
    assert str(small).splitlines()[1:] == [
        "v2 = contiguous float64 of (3, 4)",
        "v3 = nbgrad.permute(v2, (1, 0, ))  # (4, 3)",
        "v5 = nbgrad.sum(v3, (0, ), False)  # (3,)",
        "return v5",
    ]


def test_programs_use_every_operation_and_come_again():
    programs = [Writer(seed).program for seed in range(1500)]
    used = {step.name for program in programs for step in program.steps}
    assert used == set(random_programs.OPERATIONS)
    assert [str(Writer(seed).program) for seed in (3, 4)] == [str(program) for program in programs[3:5]]
    assert {program.order for program in programs} == {0, 1, 2}
    sizes = [len(program.steps) for program in programs]
    assert np.min(sizes) >= 5 and np.max(sizes) >= 50
