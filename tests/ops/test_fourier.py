"""Fourier transforms of real arrays and of pairs: torch's, those of differences, traced, and what is refused."""

import numpy as np
import pytest
from cases import ANY
from families import Member, check_derivatives, check_traced, check_values, parameters
from peers import peer

import nbgrad
from nbgrad import fft


def of_pairs(name, **options):
    """Give a transform of complex numbers as a function of their parts, with both parts of its result side by side."""

    def ours(x, y):
        found = getattr(fft, name)((x, y), **options)
        return nbgrad.stack(found) if isinstance(found, tuple) and isinstance(x, nbgrad.Variable) else np.stack(found)

    def theirs(t, x, y):
        found = getattr(t.fft, name)(t.complex(x, y), **options)
        return t.stack([found.real, found.imag])

    return Member(f"{name} of pairs", ours, theirs, (ANY, ANY))


def of_real(name, shape=(3, 4), **options):
    def ours(x):
        found = getattr(fft, name)(x, **options)
        if not isinstance(found, tuple):
            return found
        return nbgrad.stack(found) if isinstance(x, nbgrad.Variable) else np.stack(found)

    def theirs(t, x):
        found = getattr(t.fft, name)(x, **options)
        return t.stack([found.real, found.imag]) if found.is_complex() else found

    return Member(f"{name}{options}", ours, theirs, (ANY,), shape)


MEMBERS = [
    of_pairs("fft"),
    of_pairs("ifft", n=6, dim=0, norm="ortho"),
    of_pairs("fft2", s=(2, 5)),
    of_pairs("ifftn", norm="forward"),
    of_real("fft"),
    of_real("rfft"),
    of_real("rfft", (3, 5), n=7),
    of_real("rfft2"),
    of_real("rfftn", (2, 3, 5), dim=(0, 2), norm="ortho"),
    of_real("irfft"),
    of_real("irfft", (3, 4), n=5, norm="forward"),
    of_real("irfftn", (2, 3, 4), s=(3, 6), dim=(1, 2)),
    of_real("hfft", n=5),
    of_real("hfftn"),
    of_real("ihfft"),
    of_real("ihfft2", norm="ortho"),
    of_real("fftshift"),
    of_real("ifftshift", dim=1),
]
QUICK = {MEMBERS[i].name for i in (1, 6, 10, 15, 16)}
every_member = pytest.mark.parametrize("member", parameters(MEMBERS, QUICK))


@pytest.mark.parametrize("member", parameters(MEMBERS))
def test_values_are_torchs(member):
    check_values(member)


@every_member
def test_derivatives_are_those_of_differences(member):
    check_derivatives(member)


@every_member
def test_traced(member, kernels):
    check_traced(member)


def test_halves_are_undone():
    x = nbgrad.randn(3, 7)
    np.testing.assert_allclose(fft.irfft(fft.rfft(x), 7).data, x.data, atol=1e-14)
    np.testing.assert_allclose(fft.hfft(fft.ihfft(x), 7).data, x.data, atol=1e-14)
    back = fft.ifft(fft.fft(x))
    np.testing.assert_allclose(back.real.data, x.data, atol=1e-14)
    np.testing.assert_allclose(back.imag.data, 0, atol=1e-14)


def test_complex_arrays_of_numpys_are_taken():
    z = np.random.default_rng(0).normal(size=(2, 4)) + 1j
    found = fft.fft(z)
    np.testing.assert_allclose(found.real + 1j * found.imag, np.fft.fft(z))
    np.testing.assert_allclose(fft.irfft(z), np.fft.irfft(z))


def test_frequencies_and_all_names_are_torchs():
    torch = peer("torch")
    np.testing.assert_allclose(fft.fftfreq(5, 0.1).data, torch.fft.fftfreq(5, 0.1))
    np.testing.assert_allclose(fft.rfftfreq(6, 0.5).data, torch.fft.rfftfreq(6, 0.5))
    names = {name for name in dir(torch.fft) if "fft" in name and not name.startswith("_")}
    assert names - {"fft"} <= set(dir(fft))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda x: fft.fft(x, n=0), ValueError, "fft: size 0"),
        (lambda x: fft.fft(x, norm="both"), ValueError, "fft: norm is one of"),
        (lambda x: fft.fft(x, dim=2), IndexError, "fft: dimension 2 is out of range"),
        (lambda x: fft.fft((x, x, x)), TypeError, "fft: 3 arrays: complex numbers are a pair"),
        (lambda x: fft.fft((x, x[:1])), ValueError, "fft: a pair of shapes"),
        (lambda x: fft.rfft((x, x)), TypeError, "rfft: takes a real array"),
        (lambda x: fft.fftn(x, (2, 2, 2)), ValueError, "fftn: 3 sizes"),
        (lambda x: fft.fft2(x, dim=(0, 0)), ValueError, "fft2: a dimension appears twice"),
    ],
)
def test_wrong_arguments_are_refused(call, error, says):
    with pytest.raises(error, match=says):
        call(nbgrad.ones(3, 4))


@pytest.mark.parametrize(
    "options",
    [
        {"n_fft": 8},
        {"n_fft": 7, "hop_length": 3, "center": False},
        {"n_fft": 8, "win_length": 5, "normalized": True, "pad_mode": "constant"},
        {"n_fft": 6, "onesided": False, "pad_mode": "replicate"},
    ],
)
def test_pieces_are_torchs(options):
    torch = peer("torch")
    x, window = np.random.default_rng(0).normal(size=(2, 20)), np.hanning(options.get("win_length", options["n_fft"]))
    wanted = torch.stft(torch.tensor(x), window=torch.tensor(window), return_complex=True, **options)
    found = nbgrad.stft(nbgrad.tensor(x), window=window, return_complex=True, **options)
    np.testing.assert_allclose(found.real.data + 1j * found.imag.data, wanted, atol=1e-13)
    check_derivatives(Member("stft", lambda x: nbgrad.stft(x, window=window, **options), None, (ANY,), (12,), order=1))


def test_pieces_that_do_not_fit_are_refused():
    x = nbgrad.ones(10)
    with pytest.raises(ValueError, match="stft: 10 samples are too few to be reflected by 12"):
        nbgrad.stft(x, 24)
    with pytest.raises(ValueError, match="stft: pieces of 12 samples of 10"):
        nbgrad.stft(x, 12, center=False)
    with pytest.raises(ValueError, match="stft: pad_mode is one of"):
        nbgrad.stft(x, 4, pad_mode="mirror")
    with pytest.raises(ValueError, match="stft: a window of shape"):
        nbgrad.stft(x, 4, window=np.ones(3))
