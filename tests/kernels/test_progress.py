"""What is said while kernels compile."""

import io
import os
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from nbgrad.kernels import progress

REMEDY = progress._REMEDY.rstrip()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def screen(text):
    """Give the lines that a terminal shows, without the blanks at their ends."""
    lines = [""]
    column = 0
    for letter in text:
        if letter == "\r":
            column = 0
        elif letter == "\n":
            lines.append("")
            column = 0
        else:
            lines[-1] = lines[-1][:column].ljust(column) + letter + lines[-1][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves when it is told to."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


@pytest.fixture
def terminal(monkeypatch, clock):
    monkeypatch.delenv("NBGRAD_QUIET", raising=False)
    monkeypatch.delenv("NBGRAD_PROGRESS", raising=False)
    for name, value in (("_kernels", 0), ("_spent", 0.0), ("_ended", 0.0), ("_told", False), ("_shown", "")):
        monkeypatch.setattr(progress, name, value)
    made = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=made))
    return made


def compiled(clock, name, seconds):
    with progress.compiling(name):
        clock.now += seconds
        progress.show(name, seconds)
        return screen(progress.sys.stderr.getvalue())


def test_nothing_is_said_for_a_second(terminal, clock):
    for name in ("exp", "log", "sin"):
        compiled(clock, name, 0.3)
    assert terminal.getvalue() == ""


def test_one_line_tells_what_compiles_and_is_gone_afterwards(terminal, clock):
    compiled(clock, "exp", 0.9)
    during = compiled(clock, "fused_tanh_mul_add", 0.5)
    assert during == [REMEDY, "nbgrad: compiling fused_tanh_mul_add, 2 kernels in 1.4 s so far"]
    assert screen(terminal.getvalue()) == [REMEDY, ""]
    during = compiled(clock, "log", 0.1)
    assert during == [REMEDY, "nbgrad: compiling log, 3 kernels in 1.5 s so far"]
    assert screen(terminal.getvalue()) == [REMEDY, ""]
    assert terminal.getvalue().endswith("\r")


def test_a_pause_begins_anew(terminal, clock):
    compiled(clock, "exp", 5)
    clock.now += 60
    before = terminal.getvalue()
    compiled(clock, "log", 0.5)
    assert terminal.getvalue() == before
    assert compiled(clock, "sin", 2) == [REMEDY, "nbgrad: compiling sin, 2 kernels in 2.5 s so far"]


def test_an_exception_takes_the_line_away(terminal, clock):
    with pytest.raises(KeyboardInterrupt), progress.compiling("exp"):
        progress.show("exp", 3.0)
        raise KeyboardInterrupt
    assert screen(terminal.getvalue()) == [REMEDY, ""]


@pytest.mark.parametrize(
    ("reader", "environment", "said"),
    [
        (io.StringIO, {}, False),
        (Terminal, {"NBGRAD_QUIET": "1"}, False),
        (io.StringIO, {"NBGRAD_PROGRESS": "1"}, True),
        (io.StringIO, {"NBGRAD_PROGRESS": "1", "NBGRAD_QUIET": "1"}, False),
        (Terminal, {"NBGRAD_QUIET": "0"}, True),
        (io.StringIO, {"NBGRAD_PROGRESS": "0"}, False),
    ],
)
def test_who_is_told(terminal, clock, monkeypatch, reader, environment, said):
    monkeypatch.setattr(progress.sys, "stderr", reader())
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    compiled(clock, "exp", 2)
    assert bool(progress.sys.stderr.getvalue()) == said


def closed():
    made = Terminal()
    made.close()
    return made


@pytest.mark.parametrize("stderr", [None, closed(), object()])
def test_where_there_is_no_standard_error(terminal, clock, monkeypatch, stderr):
    monkeypatch.setattr(progress.sys, "stderr", stderr)
    for forced in ("0", "1"):
        monkeypatch.setenv("NBGRAD_PROGRESS", forced)
        with progress.compiling("exp"):
            progress.show("exp", 3.0)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
@pytest.mark.parametrize("quiet", ["0", "1"])
def test_a_program_on_a_terminal(quiet):
    program = (
        "import time, numpy as np, nbgrad\n"
        "from nbgrad.kernels import progress\n"
        "from nbgrad.kernels.cpu import codegen\n"
        "progress._PATIENCE = 0.2\n"
        "def slowly(*rest):\n"
        f"    until = time.monotonic() + {0.6 if quiet == '1' else 60}\n"
        "    while not progress._shown and time.monotonic() < until:\n"
        "        time.sleep(0.01)\n"
        "    raise RuntimeError('enough')\n"
        "codegen._compile = slowly\n"
        f"fresh = nbgrad.elementwise(lambda x: x * {time.time_ns()}.0)\n"
        "try:\n"
        "    fresh(np.ones(3))\n"
        "except RuntimeError as error:\n"
        "    print(error)\n"
    )
    ours, theirs = os.openpty()
    environment = {**os.environ, "NBGRAD_QUIET": quiet, "NBGRAD_PROGRESS": "0"}
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # Linux's way to say that nobody writes any more
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait() == 0
    assert "enough" in process.stdout.read()
    process.stdout.close()
    text = written.decode().replace("\r\n", "\n")
    if quiet == "1":
        assert text == ""
    else:
        assert re.search(r"nbgrad: compiling elementwise-dd, 1 kernel in \d+\.\d s so far", text)
        assert screen(text) == [REMEDY, ""]
