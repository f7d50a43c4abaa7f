"""Variables on a device: getting there and back, making them there, and what is refused."""

import subprocess
import sys

import both
import cupy
import numpy as np
import pytest

import nbgrad
from nbgrad import Function, Variable
from nbgrad.kernels import dispatch, placement
from nbgrad.kernels.cuda import launch

# ---- there and back -------------------------------------------------------------------------------------------------


def test_there_and_back():
    x = nbgrad.tensor([1.0, 2.0], requires_grad=True)
    y = x.cuda()
    assert (x.device, x.is_cuda, y.device, y.is_cuda) == ("cpu", False, "cuda:0", True)
    assert isinstance(y.data, cupy.ndarray) and y.requires_grad
    z = (y * y).cpu()
    assert type(z.data) is np.ndarray
    z.sum().backward()
    assert type(x.grad.data) is np.ndarray
    assert x.grad.tolist() == [2, 4]


def test_the_first_array_on_a_device_is_noticed(monkeypatch):
    for kind in tuple(placement.away):
        monkeypatch.delitem(placement.away, kind)
    monkeypatch.setitem(placement._named, "cuda", placement.cuda)
    x = nbgrad.tensor([1.0, 2.0]).cuda()
    assert (x * x).tolist() == [1, 4]


def test_the_gradient_of_a_leaf_is_where_the_leaf_is():
    x = nbgrad.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    x.cpu().sum().backward()
    assert x.grad.is_cuda and x.grad.tolist() == [1, 1]
    (x * 3).sum().backward()
    assert x.grad.tolist() == [4, 4]


def test_transfers_have_gradients_of_any_order():
    x = nbgrad.tensor([1.0, 2.0], requires_grad=True)
    y = ((x.cuda() ** 3).cpu() * x).sum()  # x**4
    (first,) = nbgrad.autograd.grad(y, x, create_graph=True)
    (second,) = nbgrad.autograd.grad(first.sum(), x)
    np.testing.assert_allclose(first.data, 4 * x.data**3)
    np.testing.assert_allclose(second.data, 12 * x.data**2)
    assert not first.is_cuda and not second.is_cuda


def test_moving_to_where_it_is_gives_itself():
    x = nbgrad.ones(2)
    y = x.cuda()
    assert x.cpu() is x and x.to("cpu") is x
    assert y.cuda() is y and y.to("cuda") is y and y.cuda(0) is y and y.to("cuda:0") is y


def test_to_takes_devices_dtypes_and_variables():
    x = nbgrad.ones(2)
    y = nbgrad.zeros(1, dtype=np.float32, device="cuda")
    for moved in (x.to("cuda", np.float32), x.to(y), x.to(device="cuda", dtype="float32"), x.to(np.float32).to(0)):
        assert (moved.device, moved.dtype) == ("cuda:0", np.float32)
    assert x.to(np.int32).dtype == np.int32
    with pytest.raises(TypeError, match="to: needs a device, a dtype or a Variable"):
        x.to()
    with pytest.raises(TypeError, match="to: 'gpu' is no device and no dtype"):
        x.to("gpu")
    with pytest.raises(TypeError, match="to: two devices: 'cpu' comes second"):
        x.to("cuda", "cpu")
    with pytest.raises(ValueError, match="device 'cuda:x' is not known"):
        x.to("cuda:x")
    with pytest.raises(ValueError, match="device 'cuda:7' does not exist: the last of"):
        x.to("cuda:7")
    with pytest.raises(ValueError, match="device 'tpu' is not known: give 'cpu', 'cuda' or 'cuda:0'"):
        nbgrad.zeros(2, device="tpu")


def test_numpy_arrays_are_not_made_unseen():
    x = nbgrad.ones(2, device="cuda")
    for function in (x.numpy, lambda: np.asarray(x), lambda: np.array([x])):
        with pytest.raises(TypeError, match=r"x\.cpu\(\)"):
            function()
    assert x.cpu().numpy().tolist() == [1, 1]


def test_elements_and_text():
    x = nbgrad.tensor([1.0, 2.5], device="cuda")
    assert repr(x) == "Variable([1. , 2.5], device='cuda:0')"
    assert str(x) == "[1.  2.5]"
    assert repr(x.astype(np.float32)) == "Variable([1. , 2.5], dtype=float32, device='cuda:0')"
    assert x.tolist() == [1, 2.5]
    assert (x[1].item(), float(x[1]), int(x[0]), bool(x[0] > 0), f"{x[1]:.2f}") == (2.5, 2.5, 1, True, "2.50")
    assert len(x) == 2 and [e.item() for e in x] == [1, 2.5]
    assert [10, 20, 30][nbgrad.tensor(2, device="cuda")] == 30


def test_a_variable_holds_an_array_of_cupys():
    array = cupy.asarray(np.ones(3))
    x = Variable(array)
    assert x.data is array and x.requires_grad
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_functions_of_arrays_give_arrays():
    array = cupy.asarray(np.array([1.0, 4.0]))
    for y in (
        nbgrad.sqrt(array),
        nbgrad.sum(array, 0),
        nbgrad.reshape(array, 2, 1),
        array + nbgrad.ones(2).cuda().data,
    ):
        assert isinstance(y, cupy.ndarray)
    x = nbgrad.ones(2, device="cuda", requires_grad=True)
    for y in (array * x, array**x, array < x, array == x, x - array):
        assert isinstance(y, Variable) and y.is_cuda
    for y in (nbgrad.ones(2).cuda() + array, nbgrad.ones(2).cuda() @ array, np.exp(nbgrad.ones(2).cuda())):
        assert isinstance(y, Variable) and y.is_cuda


# ---- making them ----------------------------------------------------------------------------------------------------

FACTORIES = {
    "zeros": lambda **o: nbgrad.zeros(2, 3, **o),
    "ones": lambda **o: nbgrad.ones(2, 3, **o),
    "full": lambda **o: nbgrad.full((2, 3), 1.5, **o),
    "eye": lambda **o: nbgrad.eye(3, **o),
    "arange": lambda **o: nbgrad.arange(1, 7, 2, **o),
    "linspace": lambda **o: nbgrad.linspace(0, 1, 5, **o),
    "tensor": lambda **o: nbgrad.tensor([[1, 2.5]], **o),
    "as_tensor": lambda **o: nbgrad.as_tensor([[1, 2.5]], **o),
    "zeros_like": lambda **o: nbgrad.zeros_like(nbgrad.ones(3), **o),
    "ones_like": lambda **o: nbgrad.ones_like(nbgrad.zeros(3), **o),
    "full_like": lambda **o: nbgrad.full_like(nbgrad.zeros(3), 7, **o),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_factories(name):
    expected = FACTORIES[name]()
    for device in ("cuda", "cuda:0", 0):
        made = FACTORIES[name](device=device)
        assert made.is_cuda and made.dtype == expected.dtype and not made.requires_grad
        assert made.tolist() == expected.tolist()
    assert not FACTORIES[name](device="cpu").is_cuda


def test_what_is_made_like_another_is_where_that_is():
    x = nbgrad.ones(2, dtype=np.float32, device="cuda")
    for y in (nbgrad.zeros_like(x), nbgrad.ones_like(x), nbgrad.full_like(x, 2), nbgrad.tensor(x), nbgrad.clone(x)):
        assert y.is_cuda and y.dtype == np.float32 and y.shape == (2,)
    assert not nbgrad.zeros_like(x, device="cpu").is_cuda
    assert nbgrad.tensor([x[0], x[1]], device="cuda").tolist() == [1, 1]


def test_random_numbers_follow_the_seed():
    def drawn():
        nbgrad.manual_seed(3)
        return [
            nbgrad.rand(2, 3, device="cuda"),
            nbgrad.randn(4, dtype=np.float32, device="cuda"),
            nbgrad.randint(0, 10, (5,), device="cuda"),
        ]

    first, second = drawn(), drawn()
    for x, y in zip(first, second, strict=True):
        assert x.is_cuda and x.tolist() == y.tolist()
    assert [x.shape for x in first] == [(2, 3), (4,), (5,)]
    assert [str(x.dtype) for x in first] == ["float64", "float32", "int64"]
    assert first[0].tolist() != nbgrad.rand(2, 3, device="cuda").tolist()


# ---- other libraries ------------------------------------------------------------------------------------------------


class Foreign:
    """An array of another library's on the device, as torch's tensors are."""

    def __init__(self, array):
        self.array = array

    @property
    def __cuda_array_interface__(self):
        return self.array.__cuda_array_interface__

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_arrays_of_other_libraries_are_shared():
    array = cupy.asarray(np.arange(4.0))
    for function in (nbgrad.as_tensor, nbgrad.from_dlpack):
        x = function(Foreign(array))
        assert x.data.data.ptr == array.data.ptr and x.is_cuda
    copied = nbgrad.tensor(Foreign(array))
    assert copied.is_cuda and copied.data.data.ptr != array.data.ptr
    assert copied.tolist() == [0, 1, 2, 3]
    assert nbgrad.as_tensor(Foreign(array), np.float32).dtype == np.float32
    assert nbgrad.as_tensor(Foreign(array), device="cpu").tolist() == [0, 1, 2, 3]


def test_variables_are_arrays_to_other_libraries():
    x = nbgrad.arange(4, device="cuda")
    assert cupy.asarray(x).data.ptr == x.data.data.ptr
    assert cupy.from_dlpack(x).data.ptr == x.data.data.ptr
    assert x.__dlpack_device__() == (2, 0)
    y = nbgrad.ones(2, device="cuda", requires_grad=True)
    with pytest.raises(AttributeError, match=r"requires a gradient: use x\.detach\(\)"):
        y.__cuda_array_interface__  # noqa: B018
    with pytest.raises(RuntimeError, match=r"requires a gradient: use x\.detach\(\)"):
        y.__dlpack__()
    assert not hasattr(nbgrad.ones(2), "__cuda_array_interface__")
    host = np.arange(3.0)
    assert np.shares_memory(nbgrad.from_dlpack(host).data, host)
    assert np.shares_memory(np.from_dlpack(nbgrad.from_dlpack(host)), host)
    assert np.shares_memory(nbgrad.as_tensor(host).data, host)
    assert nbgrad.ones(2).__dlpack_device__() == (1, 0)
    with pytest.raises(TypeError, match="from_dlpack: list has no __dlpack__"):
        nbgrad.from_dlpack([1.0])


# ---- computing ------------------------------------------------------------------------------------------------------


def test_numbers_and_scalars_stay_on_the_host(monkeypatch):
    x = nbgrad.ones(3, device="cuda", requires_grad=True)
    y = x * 2  # whatever is made once is made
    monkeypatch.setattr(dispatch, "moved", None)
    for function in (
        lambda: x * 2 + 1,
        lambda: 1 / x,
        lambda: x * np.float64(2),
        lambda: x * nbgrad.tensor(2.0),
        lambda: nbgrad.where(x > 0, x, 0.0),
        lambda: x.clamp(0, 1),
        lambda: x**2.5,
    ):
        y = function()
        assert y.is_cuda and y.shape == (3,)
        y.backward(cupy.ones(3))


def test_a_scalar_on_the_cpu_gets_its_gradient_there():
    for shape in ((3,), ()):
        scale = nbgrad.tensor(2.0, requires_grad=True)
        x = nbgrad.ones(*shape, device="cuda", requires_grad=True)
        (x * (scale * scale)).sum().backward()
        assert not scale.grad.is_cuda and x.grad.is_cuda
        assert scale.grad.item() == 4 * x.size
        (first,) = nbgrad.autograd.grad((x * scale**3).sum(), scale, create_graph=True)
        (second,) = nbgrad.autograd.grad(first, scale)
        assert (first.item(), second.item()) == (12 * x.size, 12 * x.size)


MIXED = {
    "add": lambda x, y: x + y,
    "mul": lambda x, y: y * x,
    "where": lambda x, y: nbgrad.where(x > 0, x, y),
    "clamp": lambda x, y: nbgrad.clamp(x, y, 3.0),
    "matmul": lambda x, y: x @ y,
    "cat": lambda x, y: nbgrad.cat([x, y]),
    "pow": lambda x, y: x.astype(int) ** y.astype(int),
    "nll_loss": lambda x, y: nbgrad.nn.functional.nll_loss(x.reshape(1, 2), nbgrad.tensor([0])),
}


@pytest.mark.parametrize("name", MIXED)
def test_mixed_devices_are_refused_by_name(name):
    x, y = nbgrad.ones(2).cuda(), nbgrad.ones(2)
    with pytest.raises(TypeError, match=rf"{name}: operands on .*c.*bring them together with x\.cuda\(\)") as caught:
        MIXED[name](x, y)
    assert "cpu" in str(caught.value) and "cuda:0" in str(caught.value)


def test_arrays_of_numpys_are_refused():
    x = nbgrad.ones(2, device="cuda", requires_grad=True)
    with pytest.raises(TypeError, match="add: operands on cuda:0 and cpu"):
        x + np.ones(2)
    with pytest.raises(TypeError, match=r"backward: gradient is on cpu, the output on cuda:0: move it with \.to"):
        (x * 2).backward(np.ones(2))
    with pytest.raises(TypeError, match="grad: gradient is on cpu"):
        nbgrad.autograd.grad(x * 2, x, nbgrad.ones(2))
    x.register_hook(lambda g: g.cpu())
    with pytest.raises(TypeError, match="a hook returned a Variable on cpu for a gradient on cuda:0"):
        (x * 2).sum().backward()
    assert x.grad is None


def test_shapes_are_refused_as_on_the_cpu():
    x, y = nbgrad.ones(2, device="cuda"), nbgrad.ones(3, device="cuda")
    with pytest.raises(ValueError, match=r"add: shapes \(2,\) and \(3,\) do not broadcast"):
        x + y
    with pytest.raises(ValueError, match="matmul: shapes"):
        x @ y
    with pytest.raises(ValueError, match="reshape: 2 elements"):
        x.reshape(3)
    with pytest.raises(ValueError, match="broadcast_to: shape"):
        x.broadcast_to((3,))
    with pytest.raises(TypeError, match="bitwise_and: dtypes float64 and float64"):
        x & x


def test_accumulation():
    x = nbgrad.ones(3, device="cuda", requires_grad=True)
    y = x * 2
    (y + y * y + x).sum().backward()
    assert x.grad.tolist() == [11, 11, 11]
    (x * 2).sum().backward()
    assert x.grad.tolist() == [13, 13, 13]
    held = x.grad
    x.sum().backward()
    assert held.tolist() == [13, 13, 13] and x.grad.tolist() == [14, 14, 14]
    x.grad.zero_()
    x.backward(nbgrad.ones_like(x))
    x.backward(cupy.ones(3))
    assert x.grad.tolist() == [2, 2, 2]


def test_gradients_share_no_memory():
    x, y = (nbgrad.ones(3, device="cuda", requires_grad=True) for _ in range(2))
    cotangent = cupy.ones(3)
    (x + y).backward(cotangent)
    assert len({x.grad.data.data.ptr, y.grad.data.data.ptr, cotangent.data.ptr}) == 3
    z = nbgrad.ones(3, device="cuda", requires_grad=True)
    z.sum().backward()  # a view that repeats one element
    z.sum().backward()
    assert z.grad.tolist() == [2, 2, 2] and z.grad.data.flags.c_contiguous


def test_training_in_place():
    w = nbgrad.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    place = w.data.data.ptr
    (w * w).sum().backward()
    with nbgrad.no_grad():
        w -= 0.25 * w.grad
    assert w.tolist() == [0.5, 1] and w.data.data.ptr == place


def test_hooks_and_retained_gradients():
    seen = []
    x = nbgrad.ones(2, device="cuda", requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: seen.append(g.device) or g * 10)
    x.register_hook(lambda g: seen.append(g.device))
    y.sum().backward()
    assert seen == ["cuda:0", "cuda:0"]
    assert y.grad.tolist() == [10, 10] and x.grad.tolist() == [20, 20]


def test_gradcheck_and_jacobian():
    x = nbgrad.tensor([0.5, 1.5], device="cuda", requires_grad=True)
    assert nbgrad.autograd.gradcheck(lambda x: (x * x.sum()).tanh(), x, order=2)
    with pytest.raises(AssertionError):
        nbgrad.autograd.gradcheck(lambda x: Wrong()(x), x)
    found = nbgrad.autograd.functional.jacobian(lambda x: x * x, x)
    assert found.is_cuda and found.tolist() == [[1, 0], [0, 3]]
    found = nbgrad.autograd.functional.hessian(lambda x: (x**3).sum(), x)
    assert found.is_cuda and found.tolist() == [[3, 0], [0, 9]]
    given = np.linspace(-1, 1, 9), np.linspace(-1, 1, 36).reshape(9, 4)
    for f in (
        lambda x, w: x[1:] ** 2 * x[:-1] - x[1:],
        lambda x, w: (x.reshape(3, 3) * 2).sum(1),
        lambda x, w: nbgrad.tanh(x @ w),
    ):  # of vectors that stay such, however many
        found = nbgrad.func.jacfwd(f)(*[nbgrad.tensor(a, device="cuda") for a in given])
        assert found.is_cuda
        np.testing.assert_allclose(found.detach().cpu().numpy(), nbgrad.func.jacrev(f)(*given), rtol=1e-12, atol=1e-14)
    unused = nbgrad.ones(2, device="cuda", requires_grad=True)
    (zero,) = nbgrad.autograd.grad(x.sum(), unused, materialize_grads=True)
    assert zero.is_cuda and zero.tolist() == [0, 0]


class Wrong(Function):
    def forward(self, x):
        return x * 2

    def backward(self, gy):
        return gy


class Square(Function):
    def forward(self, x):
        return x**2

    def backward(self, gy):
        return 2 * self.inputs[0].data * gy


class Add(Function):
    def forward(self, x0, x1):
        return x0 + x1

    def backward(self, gy):
        return gy, gy


class Parts(Function):
    def forward(self, x):
        return x * 2, x * 3

    def backward(self, first, second):
        return 2 * first + 3 * second


def test_functions_of_users():
    x = Variable(cupy.asarray(np.array(2.0)))
    a = Square()(x)
    y = Add()(Square()(a), Square()(a))
    y.backward()
    assert (y.item(), x.grad.item(), x.grad.device) == (32, 64, "cuda:0")
    x = nbgrad.ones(2, device="cuda", requires_grad=True)
    first, _ = Parts()(x)
    first.sum().backward()  # the other output has no cotangent
    assert x.grad.is_cuda and x.grad.tolist() == [2, 2]


def test_elementwise_functions_of_users():
    @nbgrad.elementwise
    def swish(x, beta):
        return x / (1 + np.exp(-beta * x))

    both.assert_same(lambda x: swish(x, 1.5), [np.array([0.5, -1.0, 2.0])], order=2)
    both.assert_same(swish, [np.array([[0.5], [-1.0]], np.float32), np.array([1.0, 2.0], np.float32)], order=2)


def test_a_linear_map_and_its_loss():
    """The first program of tests/test_seeds.py."""
    w0, b0 = nbgrad.randn(5, 3), nbgrad.randn(3)

    def trained(device):
        x, y = nbgrad.ones(5, device=device), nbgrad.zeros(3, device=device)
        w, b = (nbgrad.tensor(v, requires_grad=True, device=device) for v in (w0, b0))
        loss = nbgrad.nn.functional.binary_cross_entropy_with_logits(nbgrad.matmul(x, w) + b, y)
        loss.backward()
        return loss, w.grad, b.grad

    for expected, actual in zip(trained("cpu"), trained("cuda"), strict=True):
        assert actual.is_cuda
        np.testing.assert_allclose(actual.cpu().data, expected.data, rtol=1e-12)


def test_gradients_accumulate_over_three_calls(capsys):
    """The second program of tests/test_seeds.py."""
    inp = nbgrad.eye(4, 5, requires_grad=True, device="cuda")
    out = (inp + 1).pow(2).t()
    once = 2 * np.ones((4, 5)) + 2 * np.eye(4, 5)
    for count in (1, 2):
        out.backward(nbgrad.ones_like(out), retain_graph=True)
        print(inp.grad)
        assert inp.grad.tolist() == (count * once).tolist()
    inp.grad.zero_()
    out.backward(nbgrad.ones_like(out), retain_graph=True)
    assert inp.grad.tolist() == once.tolist()
    assert capsys.readouterr().out == f"{once}\n{2 * once}\n"


# ---- the module nbgrad.cuda -----------------------------------------------------------------------------------------


def test_the_module():
    assert nbgrad.cuda.is_available()
    assert nbgrad.cuda.device_count() >= 1
    assert isinstance(nbgrad.cuda.get_device_name(), str)
    nbgrad.cuda.synchronize()
    x = nbgrad.ones(1000, device="cuda")
    stats = nbgrad.cuda.memory_stats()
    assert stats["used_bytes"] >= x.nbytes
    assert set(stats) == {"used_bytes", "pool_bytes", "free_bytes", "total_bytes"}
    stream = nbgrad.cuda.Stream()
    with stream:
        assert nbgrad.cuda.current_stream().ptr == stream.ptr
        y = x * 2
        stream.synchronize()
    assert y.sum().item() == 2000
    with nbgrad.cuda.stream(stream):
        assert nbgrad.cuda.current_stream().ptr == stream.ptr
    with nbgrad.cuda.device(0):
        assert nbgrad.ones(1, device="cuda").device == "cuda:0"
        assert nbgrad.cuda.current_device() == 0
    event = nbgrad.cuda.Event()
    event.record()
    event.synchronize()
    nbgrad.cuda.synchronize("cuda:0")
    before = nbgrad.cuda.memory_allocated()
    del x
    assert before >= nbgrad.cuda.memory_allocated() + 8000
    nbgrad.cuda.empty_cache()
    assert nbgrad.cuda.memory_reserved() >= nbgrad.cuda.memory_allocated()
    for function in (nbgrad.cuda.get_device_name, nbgrad.cuda.device, nbgrad.cuda.synchronize):
        with pytest.raises(ValueError, match=f"{function.__name__}: 'cpu' is no GPU"):
            function("cpu")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nbgrad.cuda.nothing  # noqa: B018


def test_importing_imports_no_cupy():
    code = "import sys, nbgrad; nbgrad.cuda.device; nbgrad.zeros(2).is_cuda; print('cupy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


# ---- without a GPU --------------------------------------------------------------------------------------------------


def test_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=r"CUDA needs CuPy.*pip install 'nbgrad\[cuda13\]'"):
        nbgrad.zeros(2, device="cuda")
    with pytest.raises(ImportError, match="CUDA needs CuPy"):
        nbgrad.ones(2).cuda()
    assert not nbgrad.cuda.is_available() and nbgrad.cuda.device_count() == 0
    assert not nbgrad.ones(2).is_cuda


@pytest.mark.parametrize(
    "refusal",
    [
        "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
        "cudaErrorUnknown: unknown error",
    ],
)
def test_without_a_driver(driver, refusal):
    driver.refusal = refusal
    with pytest.raises(RuntimeError, match=f"{refusal}.*driver for CUDA 13.0 or later"):
        nbgrad.ones(2).cuda()
    assert not nbgrad.cuda.is_available() and nbgrad.cuda.device_count() == 0


@pytest.mark.parametrize("refusal", [None, "cudaErrorNoDevice: no CUDA-capable device is detected"])
def test_without_a_device(driver, refusal):
    driver.refusal, driver.count = refusal, 0
    with pytest.raises(RuntimeError, match="CUDA found no GPU: nvidia-smi"):
        nbgrad.zeros(2, device="cuda")


def test_without_memory(driver):
    x = nbgrad.ones(1000, device="cuda", requires_grad=True)
    y = x * 2
    driver.limit = driver.used + 4000
    with pytest.raises(MemoryError, match="Out of memory allocating 8,000 bytes"):
        y + 1
    with pytest.raises(MemoryError, match="Out of memory"):
        y.backward(x.detach())
    assert x.grad is None
    driver.limit = 1 << 40
    y = x * 2
    y.sum().backward()
    assert x.grad[0].item() == 2


def test_arrays_on_several_devices(driver):
    driver.count = 2
    x = nbgrad.ones(2, device="cuda:0")
    y = nbgrad.ones(2, device="cuda:1")
    assert (x.device, y.device) == ("cuda:0", "cuda:1")
    with pytest.raises(TypeError, match="add: operands on cuda:0 and cuda:1: bring them together"):
        x + y
    with pytest.raises(RuntimeError, match="add: operands on cuda:1 where cuda:0 computes"):
        y + y
    assert (x + y.cuda("cuda:0")).tolist() == [2, 2]
    assert y.to("cuda:0").device == "cuda:0"


# ---- launches -------------------------------------------------------------------------------------------------------


@pytest.fixture
def launches():
    """Give how many arrays each kernel has had that was launched from here on: equal texts share a name."""
    if not hasattr(launch.backend, "launches"):
        pytest.skip("launches are not known")
    before = len(launch.backend.launches)
    return lambda: [sum(x > 1 << 20 for x in one.arguments) for one in launch.backend.launches[before:]]


@pytest.mark.parametrize("shapes", [((3,), (3,)), ((2, 3), (3,)), ((), (3,))])
def test_a_product_has_its_factors_cotangents_from_one_kernel(launches, shapes):
    arrays = [np.random.default_rng(0).normal(size=shape) for shape in shapes]
    x, y = (nbgrad.tensor(array, device="cuda", requires_grad=True) for array in arrays)
    nbgrad.sum(x * y).backward()
    counts = launches()
    assert counts.count(3) == counts.count(5) == 1, "the product, and both cotangents of three arrays"
    seed = np.ones(np.broadcast_shapes(*shapes))
    for variable, other in ((x, arrays[1]), (y, arrays[0])):
        extra = seed.ndim - variable.ndim
        expected = (seed * other).sum(tuple(range(extra)))
        np.testing.assert_allclose(variable.grad.cpu().numpy(), expected.reshape(variable.shape), rtol=1e-14)


def test_one_factor_alone_has_its_own_kernel(launches):
    x, y = nbgrad.tensor([1.0, 2.0], device="cuda", requires_grad=True), nbgrad.tensor([3.0, 4.0], device="cuda")
    nbgrad.sum(x * y).backward()
    counts = launches()
    assert counts.count(3) == 2 and not counts.count(5), "the product, and one cotangent of two arrays"
    assert x.grad.tolist() == [3, 4]


def test_what_no_rule_reads_takes_no_memory():
    x = nbgrad.tensor(np.ones(5000), device="cuda", requires_grad=True)
    inner = x * 2.0
    y = inner + 1.0
    (kept, _) = y.creator.inputs
    assert kept is not inner and kept.is_cuda and kept.shape == inner.shape and kept.data.strides == (0,)
    z = (y * y).sum()
    (by_inner,) = nbgrad.autograd.grad(z, inner, retain_graph=True)
    z.backward()
    np.testing.assert_array_equal(by_inner.cpu().data, np.full(5000, 6.0))
    np.testing.assert_array_equal(x.grad.cpu().data, np.full(5000, 12.0))
