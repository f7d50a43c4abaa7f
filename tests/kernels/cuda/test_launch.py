"""Loading kernels, with stand-ins for all that is below: what is compiled, kept and made once.

What reaches a driver is tested in tests/cuda/driver.
"""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from nbgrad.kernels import cache
from nbgrad.kernels.cache import CompiledKernel
from nbgrad.kernels.cuda import launch

SOURCE = "def kernel(x, n):\n    pass\n"


class Driver:
    """What of CuPy and cuda.core a launch touches, and what it was given."""

    def __init__(self, monkeypatch):
        self.launched, self.loaded, self.streams, self.configurations, self.compiled = [], [], [], [], []
        self.device, self.capability, self.stream = 0, "90", 0x5000
        core = ModuleType("cuda.core")
        core.ObjectCode = SimpleNamespace(from_cubin=self.load)
        core.LaunchConfig = self.configure
        core.Stream = SimpleNamespace(from_handle=self.wrap)
        core.launch = lambda *arguments: self.launched.append(arguments)
        cupy = ModuleType("cupy")
        cupy.cuda = SimpleNamespace(
            runtime=SimpleNamespace(getDevice=lambda: self.device),
            Device=lambda number: SimpleNamespace(compute_capability=self.capability),
            get_current_stream=lambda: SimpleNamespace(ptr=self.stream),
        )
        compiler = ModuleType("nbgrad.kernels.cuda.cubin")
        compiler.compile_kernel = self.compile
        package = ModuleType("cuda")
        package.core = core
        for name, module in (
            ("cuda", package),
            ("cuda.core", core),
            ("cupy", cupy),
            ("nbgrad.kernels.cuda.cubin", compiler),
        ):
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(launch, "backend", launch._Driver())
        monkeypatch.setattr(launch, "_kernels", {})

    def compile(self, source, signature, capability):
        self.compiled.append((source, tuple(signature), capability))
        return CompiledKernel("kernel", (), b"cubin for " + str(capability).encode())

    def load(self, code):
        self.loaded.append(bytes(code))
        return SimpleNamespace(get_kernel=lambda name: (name, bytes(code)))

    def configure(self, grid, block):
        self.configurations.append((grid, block))
        return grid, block

    def wrap(self, handle):
        self.streams.append(handle)
        return f"stream {handle:#x}"


@pytest.fixture
def driver(monkeypatch, tmp_path):
    monkeypatch.setenv("NBGRAD_CACHE_DIR", str(tmp_path))
    return Driver(monkeypatch)


def test_streams_and_configurations_are_made_once(driver):
    run = launch.kernel("copy", SOURCE, ("float32*", "int64"))
    for _ in range(3):
        run(3, 256, 1, 2)
        run(4, 256, 1, 2)
    driver.stream = 0x6000
    run(3, 256, 1, 2)
    assert driver.streams == [0x5000, 0x6000]
    assert driver.configurations == [(3, 256), (4, 256)]
    assert driver.launched[-1][0] == "stream 0x6000"


def test_a_kernel_is_compiled_once_for_each_text_signature_and_capability(driver):
    first = launch.kernel("copy", SOURCE, ("float32*", "int64"))
    assert launch.kernel("copy", SOURCE, ("float32*", "int64")) is first
    launch.kernel("copy", SOURCE, ("float64*", "int64"))
    launch.kernel("copy", SOURCE + "# other\n", ("float32*", "int64"))
    driver.device, driver.capability = 1, "120"
    launch.kernel("copy", SOURCE, ("float32*", "int64"))
    assert [signature[0] for _, signature, _ in driver.compiled] == ["float32*", "float64*", "float32*", "float32*"]
    assert driver.compiled[-1][2] == (12, 0)
    assert driver.loaded[-1] == b"cubin for (12, 0)"


def test_another_process_finds_cubins_in_the_cache(driver, monkeypatch):
    launch.kernel("copy", SOURCE, ("float32*", "int64"))
    monkeypatch.setattr(launch, "backend", launch._Driver())
    monkeypatch.setattr(launch, "_kernels", {})
    launch.kernel("copy", SOURCE, ("float32*", "int64"))(1, 32, 1, 2)
    assert len(driver.compiled) == 1
    assert len(driver.loaded) == 2
    assert len(driver.launched) == 1


def test_a_spoilt_cubin_is_compiled_again(driver, monkeypatch):
    launch.kernel("copy", SOURCE, ("float32*", "int64"))
    (path,) = cache.directory().glob("*.kernel")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    monkeypatch.setattr(launch, "_kernels", {})
    launch.kernel("copy", SOURCE, ("float32*", "int64"))
    assert len(driver.compiled) == 2


def test_what_the_compiler_says_is_not_swallowed(driver):
    def failing(*arguments):
        raise ValueError("ptxas: no")

    sys.modules["nbgrad.kernels.cuda.cubin"].compile_kernel = failing
    with pytest.raises(ValueError, match="ptxas: no"):
        launch.kernel("copy", SOURCE, ("float32*", "int64"))
    sys.modules["nbgrad.kernels.cuda.cubin"].compile_kernel = driver.compile
    launch.kernel("copy", SOURCE, ("float32*", "int64"))(1, 32, 1, 2)
    assert len(driver.launched) == 1
