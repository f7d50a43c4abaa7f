"""The cache of compiled kernels: whatever happens on the disk costs time and never correctness."""

import errno
import hashlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from nbgrad.kernels import cache
from nbgrad.kernels.cache import CompiledKernel
from nbgrad.kernels.cpu import codegen, threads, ufunc

KERNEL = CompiledKernel("entry", ("expf", "memset"), b"\x7fELF machine code \0\n\xff" * 3)
SOURCE = """
def loop(args, dims, steps, data):
    x = float64_pointer(args[0])
    y = float64_pointer(args[1])
    for i in range(dims[0]):
        y[i * (steps[1] // 8)] = x[i * (steps[0] // 8)] * float64({factor})
"""
_factors = itertools.count(os.getpid() * 1000)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache of this test's own."""
    path = tmp_path / "cache"
    monkeypatch.setenv("NBGRAD_CACHE_DIR", str(path))
    return path


def scaled(factor):
    """Make a kernel that multiplies by a factor, through the cache but not through this process's memory."""
    source = SOURCE.format(factor=float(factor))
    codegen._addresses.clear()
    return ufunc.make("scaled", ["dd"], 1, lambda codes: (codegen.address("scaled", source), threads.NEVER))


def assert_works(factor):
    x = np.arange(5.0)
    np.testing.assert_array_equal(scaled(factor)(x), x * float(factor))


def kernel_file(place):
    (path,) = place.glob("*.kernel")
    return path


# ---- files ----------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read(place):
    assert cache.read("k") is None
    cache.write("k", KERNEL, "the source")
    assert cache.read("k") == KERNEL
    assert (place / "k.py").read_text() == "the source"
    assert cache.read("other") is None


def test_a_kernel_without_undefined_symbols(place):
    kernel = CompiledKernel("entry", (), b"")
    cache.write("k", kernel, "")
    assert cache.read("k") == kernel


def test_a_truncated_file_is_as_good_as_none(place):
    cache.write("k", KERNEL, "")
    whole = (place / "k.kernel").read_bytes()
    for length in range(len(whole)):
        (place / "k.kernel").write_bytes(whole[:length])
        assert cache.read("k") is None, length
    (place / "k.kernel").write_bytes(whole + b"\0")
    assert cache.read("k") is None


def test_a_file_with_one_wrong_bit_is_as_good_as_none(place):
    cache.write("k", KERNEL, "")
    whole = (place / "k.kernel").read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        (place / "k.kernel").write_bytes(damaged)
        assert cache.read("k") is None, position


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"#!/bin/sh\nexit 1\n", cache._MAGIC, cache._MAGIC + b"x" * 32])
def test_a_foreign_file_is_as_good_as_none(place, content):
    place.mkdir(mode=0o700)
    (place / "k.kernel").write_bytes(content)
    assert cache.read("k") is None


@pytest.mark.parametrize("header", [b"", b"k", b"k ", b"\xff\xfe", b"k\xff entry", b"\0", b" k entry", b"k  memset"])
def test_a_bad_header_under_a_right_checksum_is_as_good_as_none(place, header):
    place.mkdir(mode=0o700)
    for body in (header, header + b"\n" + KERNEL.code):
        (place / "k.kernel").write_bytes(cache._MAGIC + hashlib.sha256(body).digest() + body)
        assert cache.read("k") is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "loop", "directory"])
def test_what_is_no_file_is_as_good_as_none(place, compiled, kind, monkeypatch):
    """To open a named pipe for reading waits for somebody to write into it."""
    factor = next(_factors)
    assert_works(factor)
    path = kernel_file(place)
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "directory":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            monkeypatch.chdir(place)  # the path of a socket must be short
            listener.bind(path.name)
    assert_works(factor)
    assert len(compiled) == 2
    if kind != "directory":
        assert path.is_file() and not path.is_symlink()
        assert_works(factor)
        assert len(compiled) == 2


@pytest.mark.parametrize("name", ["../../outside", "a/b", "two words", "line\nbreak", "\u00e9" * 200, ".", ""])
def test_a_kernel_may_have_any_name(place, compiled, name):
    source = SOURCE.format(factor=float(next(_factors)))
    for _ in range(2):
        codegen._addresses.clear()
        assert codegen.address(name, source)
    assert len(compiled) == 1
    assert sorted(path.suffix for path in place.iterdir()) == [".kernel", ".py"]
    assert [path.name for path in place.parent.iterdir()] == ["cache"]


def test_a_directory_in_the_place_of_a_file(place):
    (place / "k.kernel").mkdir(parents=True)
    place.chmod(0o700)
    assert cache.read("k") is None
    cache.write("k", KERNEL, "")
    assert cache.read("k") is None
    assert list(place.glob(".*")) == []


def test_a_kernel_under_another_ones_name_is_as_good_as_none(place):
    """Copied or restored under a wrong name, it would be a whole kernel that computes something else."""
    cache.write("exp", KERNEL, "")
    shutil.copy(place / "exp.kernel", place / "log.kernel")
    assert cache.read("log") is None


def test_keys_tell_all_parts_apart():
    keys = [cache.key_of("n", *parts) for parts in (("a", "b"), ("ab", ""), ("a", "b", ""), ("b", "a"), ("a", "c"))]
    assert len(set(keys)) == len(keys)
    assert all(key.startswith("n-") for key in keys)
    assert len(cache.key_of("x" * 500, "a")) < 200


# ---- trust ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows guards the directory by its access lists")
class TestTrust:
    @pytest.mark.parametrize("bits", [0o020, 0o002, 0o022])
    def test_a_file_that_others_can_write_is_not_used(self, place, bits):
        cache.write("k", KERNEL, "")
        (place / "k.kernel").chmod(0o600 | bits)
        assert cache.read("k") is None
        (place / "k.kernel").chmod(0o644)
        assert cache.read("k") == KERNEL

    @pytest.mark.parametrize("bits", [0o020, 0o002, 0o022, 0o1002])
    def test_a_directory_that_others_can_write_is_not_used(self, place, bits):
        cache.write("k", KERNEL, "")
        place.chmod(0o700 | bits)
        assert cache.read("k") is None
        assert not cache.is_usable()
        cache.write("new", KERNEL, "")
        assert not (place / "new.kernel").exists()
        place.chmod(0o755)
        assert cache.read("k") == KERNEL
        assert cache.is_usable()

    def test_a_directory_of_somebody_else_is_not_used(self, place, monkeypatch):
        cache.write("k", KERNEL, "")
        somebody = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: somebody)
        assert cache.read("k") is None
        assert not cache.is_usable()
        cache.write("new", KERNEL, "")
        assert not (place / "new.kernel").exists()

    def test_a_file_of_somebody_else_is_not_used(self, place, monkeypatch):
        cache.write("k", KERNEL, "")
        fstat = os.fstat

        def foreign(descriptor):
            status = list(fstat(descriptor))
            status[4] += 1
            return os.stat_result(status)

        monkeypatch.setattr(os, "fstat", foreign)
        assert cache.read("k") is None

    def test_what_is_checked_is_what_is_read(self, place, monkeypatch):
        """A link to a file that others can write is judged by that file."""
        cache.write("k", KERNEL, "")
        target = place.parent / "target"
        shutil.move(place / "k.kernel", target)
        (place / "k.kernel").symlink_to(target)
        assert cache.read("k") == KERNEL
        target.chmod(0o666)
        assert cache.read("k") is None

    def test_nobody_else_can_read_or_write_what_is_made(self, place):
        previous = os.umask(0)
        try:
            cache.write("k", KERNEL, "")
        finally:
            os.umask(previous)
        assert place.stat().st_mode & 0o777 == 0o700
        assert (place / "k.kernel").stat().st_mode & 0o777 == 0o600
        assert (place / "k.py").stat().st_mode & 0o777 == 0o600

    def test_an_untrusted_kernel_is_compiled_again(self, place, compiled):
        factor = next(_factors)
        assert_works(factor)
        kernel_file(place).chmod(0o666)
        assert_works(factor)
        assert len(compiled) == 2
        assert kernel_file(place).stat().st_mode & 0o777 == 0o600
        assert_works(factor)
        assert len(compiled) == 2


# ---- the life of a kernel -------------------------------------------------------------------------------------------


def test_a_kernel_is_compiled_once_and_then_read(place, compiled):
    factor = next(_factors)
    assert_works(factor)
    assert_works(factor)
    assert len(compiled) == 1
    assert kernel_file(place).with_suffix(".py").read_text() == compiled[0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(path.read_bytes()[:200] + b"\0" * 100 + path.read_bytes()[300:]),
        lambda path: path.write_bytes(b"something else altogether"),
        lambda path: path.unlink(),
        lambda path: shutil.rmtree(path.parent),
    ],
    ids=["empty", "one byte short", "truncated", "zeroed", "foreign", "deleted", "directory deleted"],
)
def test_a_damaged_kernel_is_compiled_again_and_replaced(place, compiled, damage):
    factor = next(_factors)
    assert_works(factor)
    damage(kernel_file(place))
    assert_works(factor)
    assert len(compiled) == 2
    assert_works(factor)
    assert len(compiled) == 2


def test_a_kernel_that_needs_what_this_process_lacks_is_compiled_again(place, compiled):
    factor = next(_factors)
    assert_works(factor)
    key = kernel_file(place).stem
    cache.write(key, cache.read(key)._replace(undefined=("no_such_symbol_anywhere",)), "")
    assert_works(factor)
    assert len(compiled) == 2


def test_a_directory_that_cannot_be_made(tmp_path, monkeypatch, compiled):
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("NBGRAD_CACHE_DIR", str(path))
        assert not cache.is_usable()
        assert cache.size() == (0, 0)
        assert cache.clear() == 0
        factor = next(_factors)
        assert_works(factor)
        assert_works(factor)
    assert len(compiled) == 4
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_directory_that_becomes_a_file(place, compiled):
    assert_works(next(_factors))
    shutil.rmtree(place)
    place.write_text("")
    assert_works(next(_factors))


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


class HalfWritten:
    """A file on a disk that fills up in the middle of a write."""

    def __init__(self, descriptor, mode):
        self.file = open(descriptor, mode)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        full_disk()


@pytest.mark.parametrize(
    ("owner", "name", "failing"),
    [
        (tempfile, "mkstemp", full_disk),
        (os, "replace", full_disk),
        (os, "fdopen", HalfWritten),
        (os, "mkdir", full_disk),
    ],
    ids=["no name", "no rename", "half a file", "no directory"],
)
def test_a_full_disk(place, compiled, monkeypatch, owner, name, failing):
    factor = next(_factors)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing)
        assert_works(factor)
        assert_works(factor)
        assert len(compiled) == 2
        left = list(place.iterdir()) if place.exists() else []
        assert left == []
    assert_works(factor)
    assert_works(factor)
    assert len(compiled) == 3


def test_an_unreadable_disk(place, compiled, monkeypatch):
    factor = next(_factors)
    assert_works(factor)

    def broken(*args, **kwargs):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", broken)
        assert cache.read(kernel_file(place).stem) is None


def test_readers_see_whole_files_or_none(place):
    """Two processes filling one cache: each replaces the file at once."""
    variants = [KERNEL._replace(code=bytes([value]) * size) for value, size in ((1, 10), (2, 200_000), (3, 5_000))]
    stop = threading.Event()
    failures = []

    def write(kernel):
        while not stop.is_set():
            cache.write("k", kernel, "source")

    writers = [threading.Thread(target=write, args=(kernel,)) for kernel in variants]
    for writer in writers:
        writer.start()
    seen = set()
    for _ in range(300):
        found = cache.read("k")
        if found is not None and found not in variants:
            failures.append(found)
        seen.add(found)
    stop.set()
    for writer in writers:
        writer.join()
    assert failures == []
    assert cache.read("k") in variants
    assert list(place.glob(".*")) == []


# ---- place, size, clearing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"NBGRAD_CACHE_DIR": "/some/where"}, "/some/where"),
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/nbgrad"),
        ("linux", {"HOME": "/home/u"}, "/home/u/.cache/nbgrad"),
        ("darwin", {"HOME": "/Users/u", "XDG_CACHE_HOME": "/xdg"}, "/Users/u/Library/Caches/nbgrad"),
        ("win32", {"LOCALAPPDATA": "/appdata"}, "/appdata/nbgrad"),
    ],
)
def test_the_place_of_the_cache(monkeypatch, platform, environment, expected):
    for name in ("NBGRAD_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache.directory() == Path(expected)


def test_another_home_has_another_cache(monkeypatch):
    for name in ("NBGRAD_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    for home in ("/home/a", "/home/b"):
        monkeypatch.setenv("HOME", home)
        assert cache.directory() == Path(home) / ".cache/nbgrad"


def in_new_process(program, directory, **environment):
    given = {k: v for k, v in os.environ.items() if k not in ("HOME", "NBGRAD_CACHE_DIR", "XDG_CACHE_HOME")}
    paths = [str(Path(cache.__file__).resolve().parents[1]), *sys.path]
    given |= {"PYTHONPATH": os.pathsep.join(paths), **environment}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=directory, env=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows knows every user's home")
@pytest.mark.parametrize("chosen", [{}, {"NBGRAD_CACHE_DIR": "~nobody_at_all/kernels"}])
def test_a_user_without_a_home_keeps_kernels_with_temporary_files(tmp_path, chosen):
    program = (
        "import os, pwd\n"
        "def unknown(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = pwd.getpwnam = unknown\n"
        "from nbgrad.kernels import cache\n"
        "cache.write('k', cache.CompiledKernel('entry', (), b''), '')\n"
        "print(cache.is_usable(), cache.read('k') is not None, cache.directory())"
    )
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    found = in_new_process(program, work, TMPDIR=str(temporary), **chosen)
    assert found == f"True True {temporary}/nbgrad-{os.geteuid()}\n"
    assert list(work.iterdir()) == []


def test_windows_without_a_home_keeps_kernels_for_the_process(tmp_path):
    program = (
        "import os, sys\n"
        "from nbgrad.kernels import cache\n"
        "sys.platform = 'win32'\n"
        "del os.geteuid\n"
        "os.path.expanduser = lambda path: path\n"
        "cache.write('k', cache.CompiledKernel('entry', (), b''), '')\n"
        "print(cache.is_usable(), cache.read('k') is not None, cache.directory().parent)"
    )
    found = in_new_process(program, tmp_path, TMPDIR=str(tmp_path), LOCALAPPDATA="")
    assert found == f"True True {tmp_path}\n"


def test_a_relative_place_stays_where_it_was_when_the_program_goes_elsewhere(tmp_path):
    program = (
        "import os\n"
        "from nbgrad.kernels import cache\n"
        "first = cache.directory(); os.mkdir('elsewhere'); os.chdir('elsewhere')\n"
        "assert cache.directory() == first\n"
        "cache.write('k', cache.CompiledKernel('entry', (), b''), '')\n"
        "os.rmdir(os.getcwd())\n"  # and there is no place at all
        "assert cache.read('k') is not None and cache.is_usable()\n"
        "os.environ['NBGRAD_CACHE_DIR'] = 'another'\n"
        "assert cache.read('k') is None and not cache.is_usable()\n"
        "print(first)"
    )
    assert in_new_process(program, tmp_path, NBGRAD_CACHE_DIR="kernels") == f"{tmp_path}/kernels\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kernels"]


def test_an_interrupt_leaves_no_half_written_file(place, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.write("k", KERNEL, "")
    assert list(place.iterdir()) == []


def test_another_process_that_clears_meanwhile(place, monkeypatch, compiled):
    """Also what is being written, and the directory itself."""
    replace = os.replace
    for clear in (cache.clear, lambda: shutil.rmtree(place)):

        def cleared(*arguments, clear=clear):
            clear()
            replace(*arguments)

        monkeypatch.setattr(os, "replace", cleared)
        factor = next(_factors)
        assert_works(factor)
        monkeypatch.setattr(os, "replace", replace)
        assert_works(factor)
    assert len(compiled) == 4


def test_size_counts_kernels_and_bytes(place):
    assert cache.size() == (0, 0)
    cache.write(cache.key_of("a", "source"), KERNEL, "source")
    cache.write(cache.key_of("b", "source"), KERNEL, "longer source")
    assert cache.size() == (2, sum(path.stat().st_size for path in place.iterdir()))


def test_clearing_deletes_what_was_written(place):
    key = cache.key_of("k", "source")
    cache.write(key, KERNEL, "source")
    (place / ".abc.part").write_bytes(b"left by a process that died")
    assert cache.clear() == 3
    assert list(place.iterdir()) == []
    assert cache.clear() == 0


def test_clearing_leaves_what_others_put_there(place):
    """NBGRAD_CACHE_DIR may name a directory with other things in it, programs for example."""
    cache.write(cache.key_of("k", "source"), KERNEL, "source")
    for name in ("train.py", "notes.txt", "model.kernel", "download.part"):
        (place / name).write_text("somebody's work")
    assert cache.clear() == 2
    assert sorted(path.name for path in place.iterdir()) == ["download.part", "model.kernel", "notes.txt", "train.py"]


def test_clearing_goes_on_after_what_it_cannot_delete(place):
    keys = [cache.key_of("k", str(number)) for number in range(20)]
    for key in keys[1:]:
        cache.write(key, KERNEL, "source")
    (place / f"{keys[0]}.kernel").mkdir()
    assert cache.clear() == 38  # two files each, for 19 of them
    assert [path.name for path in place.iterdir()] == [f"{keys[0]}.kernel"]


def test_loaded_kernels_outlive_the_cache(place):
    kernel = scaled(3.0)
    kernel(np.ones(2))
    cache.clear()
    shutil.rmtree(place)
    np.testing.assert_array_equal(kernel(np.ones(2)), [3.0, 3.0])
