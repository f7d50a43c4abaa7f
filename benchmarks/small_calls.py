"""The calls that `benchmarks.small_operations` measures, besides those that follow from `tests/cases.py`.

A line is a call in PyTorch's names, for nbgrad and torch, and behind `~`, where they have it, in NumPy's, for NumPy,
JAX and autograd; the operation's name stands before it where it is not the first one called. `t` is nbgrad or torch,
`F` its `nn.functional`; `n` is NumPy, `nn` and `sp` are what JAX and SciPy have besides. All other names are arrays,
which `small_cases.py` says the shapes of.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Written(NamedTuple):
    """A call as it is written: of which operation, of which family, in PyTorch's names and in NumPy's."""

    name: str
    family: str
    ours: str
    theirs: str | None


_LINES = {
    "operators": """
x * y  ~  x * y
x + 1.5  ~  x + 1.5
2 * x  ~  2 * x
1 / x  ~  1 / x
-x  ~  -x
x**2  ~  x**2
x**0.5  ~  x**0.5
s * s  ~  s * s
b + b  ~  b + b
m * k  ~  m * k
m + r  ~  m + r
m * m[0]  ~  m * m[0]
m > 1  ~  m > 1
m / m.sum()  ~  m / m.sum()
""",
    "writes": """
(m * 1).mul_(k)
(x * 1).exp_()
(m * 1).zero_()
""",
    "parts and joints": """
x[3]  ~  x[3]
x[2:5]  ~  x[2:5]
x[i]  ~  x[i]
m[1]  ~  m[1]
m[:, 1]  ~  m[:, 1]
m[1, 2]  ~  m[1, 2]
m[i]  ~  m[i]
m[:, ::2]  ~  m[:, ::2]
b[..., 0]  ~  b[..., 0]
m[1:] - m[:-1]  ~  m[1:] - m[:-1]
m[z]  ~  m[z]
x[None]  ~  x[None]
t.cat([x, y])  ~  n.concatenate([x, y])
t.cat([m, k], 1)  ~  n.concatenate([m, k], 1)
t.stack([x, y])  ~  n.stack([x, y])
t.stack([m, k], 1)  ~  n.stack([m, k], 1)
t.hstack([x, y])  ~  n.hstack([x, y])
t.vstack([m, k])  ~  n.vstack([m, k])
t.dstack([m, k])  ~  n.dstack([m, k])
t.column_stack([x, y])  ~  n.column_stack([x, y])
t.block_diag(m, k)
t.cartesian_prod(r, g)
t.combinations(r)
t.meshgrid(r, g, indexing='ij')  ~  n.meshgrid(r, g, indexing='ij')
t.broadcast_tensors(m, r)  ~  n.broadcast_arrays(m, r)
t.take_along_dim(m, a, 1)  ~  n.take_along_axis(m, a, 1)
t.gather(m, 1, a)  ~  n.take_along_axis(m, a, 1)
t.take(m, i)  ~  n.take(m, i)
t.index_select(m, 0, i)  ~  n.take(m, i, 0)
t.masked_select(m, z)  ~  m[z]
t.select(m, 0, 1)  ~  m[1]
t.narrow(m, 1, 1, 3)  ~  m[:, 1:4]
t.narrow_copy(m, 1, 1, 3)
t.split(x, 5)  ~  n.split(x, 2)
t.split_with_sizes(x, [4, 6])  ~  n.split(x, [4])
t.split_with_sizes_copy(x, [4, 6])
t.unsafe_split(x, 5)
t.chunk(m, 2)  ~  n.split(m, 2)
t.unsafe_chunk(m, 2)
t.tensor_split(m, 3)  ~  n.array_split(m, 3)
t.hsplit(m, [2])  ~  n.hsplit(m, [2])
t.vsplit(m, 2)  ~  n.vsplit(m, 2)
t.dsplit(b, 2)  ~  n.dsplit(b, 2)
t.unbind(m)
t.unbind_copy(m)
t.flip(m, (0,))  ~  n.flip(m, 0)
t.flipud(m)  ~  n.flipud(m)
t.fliplr(m)  ~  n.fliplr(m)
t.roll(m, 1, 0)  ~  n.roll(m, 1, 0)
t.rot90(m)  ~  n.rot90(m)
t.repeat_interleave(x, 2)  ~  n.repeat(x, 2)
t.tile(m, (2, 1))  ~  n.tile(m, (2, 1))
m.repeat(2, 1)
t.diag(r)  ~  n.diag(r)
t.diag_embed(m)
t.diagflat(r)  ~  n.diagflat(r)
t.diagonal(m)  ~  n.diagonal(m)
t.diagonal_copy(m)
t.trace(m)  ~  n.trace(m)
t.tril(m)  ~  n.tril(m)
t.triu(m)  ~  n.triu(m)
t.diff(x)  ~  n.diff(x)
t.diff(m, dim=0)  ~  n.diff(m, axis=0)
""",
    "elements written elsewhere": """
t.scatter(m, 1, a, k[:, :2])
t.scatter_add(m, 1, a, k[:, :2])
t.scatter_reduce(m, 1, a, k[:, :2], 'sum')
t.index_add(m, 0, i, w)
t.index_copy(m, 0, i, w)
t.index_fill(m, 0, i, 0.5)
t.index_put(m, (i,), w)
t.index_reduce(m, 0, i, w, 'amax')
t.masked_fill(m, z, 0.5)
t.masked_scatter(m, z, k)
t.put(m, i, v)
t.select_scatter(m, r, 0, 1)
t.slice_scatter(m, k[:2], 0, 1, 3)
t.diagonal_scatter(m, m[:, 0])
t.as_strided_scatter(m.detach(), k[:2], (2, 5), (5, 1))
t.fill(m, 0.5)
""",
    "shapes": """
t.reshape(x, (2, 5))  ~  n.reshape(x, (2, 5))
m.reshape(-1)  ~  m.reshape(-1)
m.view(-1)
t.flatten(b)  ~  n.ravel(b)
t.ravel(b)  ~  n.ravel(b)
t.unflatten(x, 0, (2, 5))
t.squeeze(m, 1)
t.unsqueeze(m, 1)  ~  n.expand_dims(m, 1)
t.permute(b, (2, 0, 1))  ~  n.transpose(b, (2, 0, 1))
t.transpose(m, 0, 1)  ~  n.swapaxes(m, 0, 1)
t.swapaxes(m, 0, 1)  ~  n.swapaxes(m, 0, 1)
t.swapdims(m, 0, 1)  ~  n.swapaxes(m, 0, 1)
t.movedim(b, 0, 2)  ~  n.moveaxis(b, 0, 2)
t.adjoint(m)
m.t()  ~  m.T
t.broadcast_to(r, (4, 5))  ~  n.broadcast_to(r, (4, 5))
r.expand(4, 5)
r.expand_as(m)
t.sum_to(m, (1, 5))
m.sum_to_size(1, 5)
x.reshape_as(x)
m.view_as(k)
m.unfold(1, 2, 1)
t.as_strided(m, (2, 5), (5, 1))
t.atleast_1d(s)  ~  n.atleast_1d(s)
t.atleast_2d(x)  ~  n.atleast_2d(x)
t.atleast_3d(m)  ~  n.atleast_3d(m)
""",
    "copies": """
astype: m.to(t.float32)  ~  m.astype('float32')
m.float()  ~  m.astype('float32')
m.double()
half: m.detach().half()
m.int()  ~  m.astype('int32')
m.long()  ~  m.astype('int64')
m.short()  ~  m.astype('int16')
m.byte()  ~  m.astype('uint8')
m.char()  ~  m.astype('int8')
m.bool()  ~  m.astype('bool')
x.clone()  ~  n.copy(x)
m.clone()  ~  n.copy(m)
m.contiguous()
contiguous: m.t().contiguous()  ~  n.ascontiguousarray(m.T)
m.cpu()
m.to('cpu')
t.real(m)
t.conj(m)
t.conj_physical(m)
t.resolve_conj(m)
t.resolve_neg(m)
t.positive(m)  ~  +m
t.alias_copy(m)
t.as_strided_copy(m, (2, 5), (5, 1))
t.expand_copy(r, (4, 5))
t.permute_copy(m, (1, 0))
t.squeeze_copy(m)
t.t_copy(m)
t.transpose_copy(m, 0, 1)
t.unfold_copy(m, 1, 2, 1)
t.unsqueeze_copy(m, 1)
t.view_copy(m, (20,))
""",
    "reductions": """
t.max(m)  ~  n.max(m)
t.max(m, 1)
t.min(m)  ~  n.min(m)
t.min(m, 1)
t.aminmax(m, dim=1)
t.argmax(m, 1)  ~  n.argmax(m, 1)
t.argmin(m, 1)  ~  n.argmin(m, 1)
t.softmax(x, 0)  ~  nn.softmax(x, 0)
t.softmax(m, 0)  ~  nn.softmax(m, 0)
t.softmax(m, 1)  ~  nn.softmax(m, 1)
t.softmax(b, -1)  ~  nn.softmax(b, -1)
t.log_softmax(x, 0)  ~  nn.log_softmax(x, 0)
t.log_softmax(m, 1)  ~  nn.log_softmax(m, 1)
t.var_mean(m, 1)
t.std_mean(m, 1)
t.count_nonzero(m)  ~  n.count_nonzero(m)
t.hash_tensor(m)
t.any(z)  ~  n.any(z)
t.any(z, 1)  ~  n.any(z, 1)
t.all(z)  ~  n.all(z)
t.all(z, 1)  ~  n.all(z, 1)
t.norm(x)  ~  n.linalg.norm(x)
t.norm(m, dim=1)  ~  n.linalg.norm(m, axis=1)
t.nansum(x)  ~  n.nansum(x)
t.nansum(m, 1)  ~  n.nansum(m, 1)
t.nanmean(x)  ~  n.nanmean(x)
t.nanmean(m, 1)  ~  n.nanmean(m, 1)
t.nuclear_norm(m)
t.dist(x, y)  ~  n.linalg.norm(x - y)
t.cdist(m, k)
t.pdist(m)
t.renorm(m, 2, 0, 1.0)
t.corrcoef(m)  ~  n.corrcoef(m)
t.cov(m)  ~  n.cov(m)
t.trapezoid(x)  ~  n.trapezoid(x)
t.cumulative_trapezoid(x)
t.gradient(x)  ~  n.gradient(x)
t.equal(x, y)  ~  n.array_equal(x, y)
t.allclose(x, y)  ~  n.allclose(x, y)
""",
    "sorting and searching": """
t.sort(x)
t.msort(m)  ~  n.sort(m, 0)
t.argsort(x)  ~  n.argsort(x)
t.topk(x, 3)
t.kthvalue(x, 3)
t.median(x)
t.nanmedian(x)
t.mode(m, 1)
t.quantile(x, 0.3)  ~  n.quantile(x, 0.3)
t.nanquantile(x, 0.3)  ~  n.nanquantile(x, 0.3)
t.unique(l)  ~  n.unique(l)
t.unique_consecutive(l)
t.nonzero(m)
t.nonzero_static(m, size=4)
t.argwhere(m)  ~  n.argwhere(m)
t.searchsorted(sorted, y)  ~  n.searchsorted(sorted, y)
t.bucketize(y, sorted)  ~  n.searchsorted(sorted, y)
t.bincount(l)  ~  n.bincount(l)
t.histc(x, 4, 0.0, 2.0)
t.histogram(x, 4, range=(0.0, 2.0))  ~  n.histogram(x, 4, (0.0, 2.0))
t.isin(u, i)  ~  n.isin(u, i)
t.unravel_index(i, (4, 5))  ~  n.unravel_index(i, (4, 5))
""",
    "elementwise, seldom": """
t.polygamma(1, x)  ~  sp.polygamma(1, x)
t.mvlgamma(b + 2, 2)
t.igamma(x.detach(), y)  ~  sp.gammainc(x, y)
t.igammac(x.detach(), y)  ~  sp.gammaincc(x, y)
t.i0(x)  ~  n.i0(x)
t.copysign(x, y)  ~  n.copysign(x, y)
t.fmod(x, y)  ~  n.fmod(x, y)
t.heaviside(x.detach(), y.detach())  ~  n.heaviside(x, y)
t.logaddexp2(x, y)  ~  n.logaddexp2(x, y)
t.logit(r / 3)
t.sinc(x)  ~  n.sinc(x)
t.xlogy(x, y)  ~  sp.xlogy(x, y)
t.float_power(x, y)  ~  n.float_power(x, y)
t.ldexp(x, y)
t.lerp(x, y, 0.3)
t.lerp(m, k, p)
t.addcmul(m, k, p)
t.addcdiv(m, k, p)
t.rsub(x, y)
t.true_divide(x, y)  ~  n.true_divide(x, y)
t.fmax(x, y)  ~  n.fmax(x, y)
t.fmin(x, y)  ~  n.fmin(x, y)
t.nan_to_num(x)  ~  n.nan_to_num(x)
t.deg2rad(x)  ~  n.deg2rad(x)
t.rad2deg(x)  ~  n.rad2deg(x)
t.angle(x)  ~  n.angle(x)
t.ceil(x)  ~  n.ceil(x)
t.floor(x)  ~  n.floor(x)
t.round(x)  ~  n.round(x)
t.trunc(x)  ~  n.trunc(x)
t.frac(x)
t.frexp(x)  ~  n.frexp(x)
t.sgn(x)  ~  n.sign(x)
t.signbit(x)  ~  n.signbit(x)
t.nextafter(x.detach(), y.detach())  ~  n.nextafter(x, y)
t.isfinite(x)  ~  n.isfinite(x)
t.isinf(x)  ~  n.isinf(x)
t.isnan(x)  ~  n.isnan(x)
t.isneginf(x)  ~  n.isneginf(x)
t.isposinf(x)  ~  n.isposinf(x)
t.isreal(x)  ~  n.isreal(x)
t.isclose(x, y)  ~  n.isclose(x, y)
t.bitwise_and(u, o)  ~  n.bitwise_and(u, o)
t.bitwise_or(u, o)  ~  n.bitwise_or(u, o)
t.bitwise_xor(u, o)  ~  n.bitwise_xor(u, o)
t.bitwise_not(u)  ~  n.bitwise_not(u)
t.bitwise_left_shift(u, o)  ~  n.left_shift(u, o)
t.bitwise_right_shift(u, o)  ~  n.right_shift(u, o)
t.gcd(u, o)  ~  n.gcd(u, o)
t.lcm(u, o)  ~  n.lcm(u, o)
""",
    "matrix products": """
matmul: x @ y  ~  x @ y
matmul: m @ k.t()  ~  m @ k.T
matmul: m @ r  ~  m @ r
matmul: b @ c  ~  b @ c
t.mm(m, w.t())  ~  n.matmul(m, w.T)
t.bmm(b, c)  ~  n.matmul(b, c)
t.mv(m, r)  ~  n.matmul(m, r)
t.dot(x, y)  ~  n.dot(x, y)
t.vdot(x, y)  ~  n.vdot(x, y)
t.inner(m, k)  ~  n.inner(m, k)
t.outer(x, y)  ~  n.outer(x, y)
t.tensordot(m, w.t(), 1)  ~  n.tensordot(m, w.T, 1)
t.kron(v, w)  ~  n.kron(v, w)
t.cross(w[:, :3], w[:, 1:4], dim=1)  ~  n.cross(w[:, :3], w[:, 1:4], axis=1)
t.addmm(w[:, :3], w, w.t())
t.addmv(v, w, r)
t.addr(w, v, r)
t.addbmm(A, b[:, :, :3], b[:, :, :3])
t.baddbmm(b[:, :, :3], b, c[:, :, :3])
t.chain_matmul(m, w.t(), w)  ~  n.linalg.multi_dot((m, w.T, w))
t.einsum('ij,kj->ik', m, w)  ~  n.einsum('ij,kj->ik', m, w)
t.einsum('ij,ij->i', m, k)  ~  n.einsum('ij,ij->i', m, k)
""",
    "decompositions": """
t.cholesky(A)  ~  n.linalg.cholesky(A)
t.cholesky_inverse(t.tril(A))
t.cholesky_solve(B, t.tril(A))
t.det(A)  ~  n.linalg.det(A)
t.logdet(A)
t.slogdet(A)  ~  n.linalg.slogdet(A)
t.lu(A)
linalg.lu_solve: t.linalg.lu_solve(*t.linalg.lu_factor(A), B)
t.lu_solve(B, *t.linalg.lu_factor(A))
t.lu_unpack(*t.linalg.lu_factor(A))
t.matrix_power(A, 3)  ~  n.linalg.matrix_power(A, 3)
t.matrix_exp(A)
t.pinverse(A)  ~  n.linalg.pinv(A)
t.qr(A)
t.svd(A)
t.geqrf(A)
t.ormqr(*t.geqrf(A.detach()), B)
t.triangular_solve(B, A)
t.linalg.cholesky(A)  ~  n.linalg.cholesky(A)
t.linalg.cholesky_ex(A)
t.linalg.cond(A)  ~  n.linalg.cond(A)
t.linalg.cross(w[:, :3], w[:, 1:4], dim=1)
t.linalg.det(A)  ~  n.linalg.det(A)
t.linalg.diagonal(A)
t.linalg.eigh(A)
linalg.eig: t.real(t.linalg.eig(A)[0])
linalg.eigvals: t.real(t.linalg.eigvals(A))
t.linalg.eigvalsh(A)  ~  n.linalg.eigvalsh(A)
t.linalg.householder_product(A, v)
t.linalg.inv(A)  ~  n.linalg.inv(A)
t.linalg.inv_ex(A)
t.linalg.ldl_factor(A)
t.linalg.ldl_factor_ex(A)
linalg.ldl_solve: t.linalg.ldl_solve(*t.linalg.ldl_factor(A.detach()), B)
t.linalg.lstsq(A, B)
t.linalg.lu(A)
t.linalg.lu_factor(A)
t.linalg.lu_factor_ex(A)
t.linalg.matmul(A, B)  ~  n.matmul(A, B)
t.linalg.matrix_exp(A)
t.linalg.matrix_norm(A)  ~  n.linalg.norm(A)
t.linalg.matrix_power(A, 3)
t.linalg.matrix_rank(A)
t.linalg.multi_dot((m, w.t(), w))
t.linalg.norm(A)  ~  n.linalg.norm(A)
t.linalg.pinv(A)  ~  n.linalg.pinv(A)
t.linalg.qr(A)
t.linalg.slogdet(A)
t.linalg.solve(A, B)  ~  n.linalg.solve(A, B)
t.linalg.solve_ex(A, B)
t.linalg.solve_triangular(A, B, upper=True)
t.linalg.svd(A)
t.linalg.svdvals(A)  ~  n.linalg.svdvals(A)
t.linalg.tensorinv(A, ind=1)
t.linalg.tensorsolve(A, v)  ~  n.linalg.tensorsolve(A, v)
t.linalg.vander(v)
t.linalg.vecdot(m, k)  ~  n.sum(m * k, -1)
t.linalg.vector_norm(x)  ~  n.linalg.norm(x)
""",
    "special functions": """
t.special.digamma(x)
t.special.erf(x)
t.special.erfc(x)
t.special.erfinv(r / 3)
t.special.exp2(x)
t.special.expit(x)  ~  sp.expit(x)
t.special.expm1(x)
t.special.gammainc(x.detach(), y)
t.special.gammaincc(x.detach(), y)
t.special.gammaln(x)
t.special.i0(x)
t.special.log1p(x)
t.special.log_softmax(m, 1)
t.special.logit(r / 3)
t.special.logsumexp(m, 1)
t.special.multigammaln(b + 2, 2)
t.special.polygamma(1, x)
t.special.psi(x)
t.special.round(x)
t.special.sinc(x)
t.special.softmax(m, 1)
t.special.xlogy(x, y)
t.special.entr(x)  ~  sp.entr(x)
t.special.erfcx(x)
t.special.i0e(x)  ~  sp.i0e(x)
t.special.i1(x)  ~  sp.i1(x)
t.special.i1e(x)  ~  sp.i1e(x)
t.special.ndtr(x)  ~  sp.ndtr(x)
t.special.ndtri(r / 3)  ~  sp.ndtri(r / 3)
t.special.log_ndtr(x)  ~  sp.log_ndtr(x)
t.special.xlog1py(x, y)  ~  sp.xlog1py(x, y)
t.special.zeta(x.detach() + 1.5, 1.5)  ~  sp.zeta(x + 1.5, 1.5)
t.special.airy_ai(x.detach())
t.special.bessel_j0(x.detach())
t.special.bessel_j1(x.detach())
t.special.bessel_y0(x.detach())
t.special.bessel_y1(x.detach())
t.special.modified_bessel_i0(x.detach())
t.special.modified_bessel_i1(x.detach())
t.special.modified_bessel_k0(x.detach())
t.special.modified_bessel_k1(x.detach())
t.special.scaled_modified_bessel_k0(x.detach())
t.special.scaled_modified_bessel_k1(x.detach())
t.special.spherical_bessel_j0(x.detach())
t.special.chebyshev_polynomial_t(x.detach(), 3)
t.special.chebyshev_polynomial_u(x.detach(), 3)
t.special.chebyshev_polynomial_v(x.detach(), 3)
t.special.chebyshev_polynomial_w(x.detach(), 3)
t.special.shifted_chebyshev_polynomial_t(x.detach(), 3)
t.special.shifted_chebyshev_polynomial_u(x.detach(), 3)
t.special.shifted_chebyshev_polynomial_v(x.detach(), 3)
t.special.shifted_chebyshev_polynomial_w(x.detach(), 3)
t.special.hermite_polynomial_h(x.detach(), 3)
t.special.hermite_polynomial_he(x.detach(), 3)
t.special.laguerre_polynomial_l(x.detach(), 3)
t.special.legendre_polynomial_p(x.detach(), 3)
""",
    "Fourier transforms": """
t.fft.fft(x).real  ~  n.fft.fft(x).real
t.fft.fft2(m).real  ~  n.fft.fft2(m).real
t.fft.fftn(m).real  ~  n.fft.fftn(m).real
t.fft.fftfreq(8)  ~  n.fft.fftfreq(8)
t.fft.fftshift(x)  ~  n.fft.fftshift(x)
t.fft.hfft(x)
t.fft.hfft2(m)
t.fft.hfftn(m)
t.fft.ifft(x).real  ~  n.fft.ifft(x).real
t.fft.ifft2(m).real  ~  n.fft.ifft2(m).real
t.fft.ifftn(m).real  ~  n.fft.ifftn(m).real
t.fft.ifftshift(x)  ~  n.fft.ifftshift(x)
t.fft.ihfft(x).real
t.fft.ihfft2(m).real
t.fft.ihfftn(m).real
t.fft.irfft(x)  ~  n.fft.irfft(x)
t.fft.irfft2(m)  ~  n.fft.irfft2(m)
t.fft.irfftn(m)  ~  n.fft.irfftn(m)
t.fft.rfft(x).real  ~  n.fft.rfft(x).real
t.fft.rfft2(m).real  ~  n.fft.rfft2(m).real
t.fft.rfftn(m).real  ~  n.fft.rfftn(m).real
t.fft.rfftfreq(8)  ~  n.fft.rfftfreq(8)
t.stft(x, 4, return_complex=True).real
t.complex(m, k).real
t.polar(m, k).real  ~  m * n.cos(k)
t.view_as_complex(w[:, :2].contiguous()).real
t.view_as_real(t.complex(m, k))
""",
    "masked": """
t.masked.amax(m, 1, mask=z)
t.masked.amin(m, 1, mask=z)
t.masked.argmax(m, 1, mask=z)
t.masked.argmin(m, 1, mask=z)
t.masked.cumprod(m, 1, mask=z)
t.masked.cumsum(m, 1, mask=z)
t.masked.log_softmax(m, 1, mask=z)
t.masked.logaddexp(m, k, input_mask=z, other_mask=z)
t.masked.logsumexp(m, 1, mask=z)
t.masked.mean(m, 1, mask=z)
t.masked.median(m, 1, mask=z)
t.masked.norm(m, 2, 1, mask=z)
t.masked.normalize(m, 2.0, 1, mask=z)
t.masked.prod(m, 1, mask=z)
t.masked.softmax(m, 1, mask=z)
t.masked.softmin(m, 1, mask=z)
t.masked.std(m, 1, unbiased=False, mask=z)
t.masked.sum(m, 1, mask=z)
t.masked.var(m, 1, unbiased=False, mask=z)
""",
    "new arrays": """
t.tensor([1.0, 2.0])  ~  n.array([1.0, 2.0])
t.as_tensor([1.0, 2.0])  ~  n.asarray([1.0, 2.0])
t.scalar_tensor(1.5)
t.zeros((4, 5))  ~  n.zeros((4, 5))
t.ones((4, 5))  ~  n.ones((4, 5))
t.full((4, 5), 1.5)  ~  n.full((4, 5), 1.5)
t.empty((4, 5))  ~  n.empty((4, 5))
t.eye(4)  ~  n.eye(4)
t.arange(10)  ~  n.arange(10)
t.linspace(0, 1, 10)  ~  n.linspace(0, 1, 10)
t.logspace(0, 1, 10)  ~  n.logspace(0, 1, 10)
t.zeros_like(m)  ~  n.zeros_like(m)
t.ones_like(m)  ~  n.ones_like(m)
t.full_like(m, 1.5)  ~  n.full_like(m, 1.5)
t.empty_like(m)  ~  n.empty_like(m)
m.new_zeros((4, 5))
m.new_ones((4, 5))
m.new_full((4, 5), 1.5)
m.new_empty((4, 5))
m.new_tensor([1.0, 2.0])
t.tril_indices(4, 5)
t.triu_indices(4, 5)
t.signal.windows.bartlett(8)
t.signal.windows.blackman(8)
t.signal.windows.cosine(8)
t.signal.windows.exponential(8)
t.signal.windows.gaussian(8, std=1.0)
t.signal.windows.general_cosine(8, a=[0.5, 0.5])
t.signal.windows.general_hamming(8)
t.signal.windows.hamming(8)
t.signal.windows.hann(8)
t.signal.windows.kaiser(8, dtype=t.float64)
t.signal.windows.nuttall(8)
""",
    "random numbers": """
t.rand((4, 5))
t.randn((4, 5))
t.randint(5, (4, 5))
t.randperm(10)
t.rand_like(m)
t.randn_like(m)
t.randint_like(m, 5)
t.normal(m, p)
t.bernoulli(p)
t.poisson(m)
t.multinomial(p, 3)
bernoulli_: m.detach().bernoulli_(0.5)
uniform_: m.detach().uniform_()
normal_: m.detach().normal_()
exponential_: m.detach().exponential_()
cauchy_: m.detach().cauchy_()
log_normal_: m.detach().log_normal_()
geometric_: m.detach().geometric_(0.5)
random_: m.detach().random_(5)
F.dropout(m, 0.5)
F.dropout1d(sequences, 0.5)
F.dropout2d(images, 0.5)
F.dropout3d(volumes, 0.5)
F.alpha_dropout(m, 0.5, True)
F.feature_alpha_dropout(sequences, 0.5, True)
F.rrelu(m, training=True)
F.gumbel_softmax(m)
F.fractional_max_pool2d(images, 2, output_size=3)
F.fractional_max_pool3d(volumes, 2, output_size=2)
F.fractional_max_pool2d_with_indices(images, 2, output_size=3)
F.fractional_max_pool3d_with_indices(volumes, 2, output_size=2)
""",
    "activations": """
F.celu(m)
F.elu(m)
F.gelu(m)
F.gelu(m, approximate='tanh')
F.glu(b)
F.hardshrink(m)
F.hardsigmoid(m)
F.hardswish(m)
F.hardtanh(m)
F.leaky_relu(m)
F.logsigmoid(m)
F.mish(m)
F.prelu(b, r[:3])
F.relu6(m)
F.rrelu(m)
F.selu(m)
F.silu(m)  ~  nn.silu(m)
F.softmin(m, 1)
F.softplus(m)
F.softshrink(m)
F.softsign(m)
F.tanhshrink(m)
F.threshold(m, 1.0, 0.0)
F.elu_(m * 1)
F.celu_(m * 1)
F.hardtanh_(m * 1)
F.leaky_relu_(m * 1)
F.relu_(m * 1)
F.rrelu_(m * 1)
F.selu_(m * 1)
F.threshold_(m * 1, 1.0, 0.0)
""",
    "losses and linear maps": """
F.cross_entropy(m, l)
F.nll_loss(m, l)
F.linear_cross_entropy(m, m, l)
F.mse_loss(m, k)  ~  n.mean((m - k) ** 2)
F.binary_cross_entropy_with_logits(m, p)
F.binary_cross_entropy(p, q)
F.l1_loss(m, k)  ~  n.mean(n.abs(m - k))
F.smooth_l1_loss(m, k)
F.huber_loss(m, k)
F.kl_div(m, p)
F.poisson_nll_loss(m, k)
F.gaussian_nll_loss(m, k, p)
F.hinge_embedding_loss(m, signs)
F.soft_margin_loss(m, signs)
F.margin_ranking_loss(m, k, signs)
F.cosine_embedding_loss(m, k, signs[:, 0])
F.cosine_similarity(m, k)
F.pairwise_distance(m, k)
F.multi_margin_loss(m, l)
F.multilabel_margin_loss(m, u)
F.multilabel_soft_margin_loss(m, p)
F.triplet_margin_loss(m, k, p)
F.triplet_margin_with_distance_loss(m, k, p)
F.ctc_loss(F.log_softmax(frames, 2), tokens, (5, 5), (2, 2))
F.linear(m, w)  ~  m @ w.T
F.linear(m, w, v)  ~  m @ w.T + v
F.bilinear(m, k, cubes, v)
F.embedding(i, k)
F.embedding_bag(a, w.t())
F.one_hot(l, 5)
""",
    "layers": """
F.layer_norm(m, m.shape[1:])
F.layer_norm(m, m.shape[1:], r, g)
F.rms_norm(m, m.shape[1:], r)
F.normalize(m)
F.batch_norm(m, None, None, training=True)
F.batch_norm(images, None, None, v, v, training=True)
F.group_norm(images, 3, v, v)
F.instance_norm(images)
F.local_response_norm(images, 2)
F.conv1d(sequences, kernels1)
F.conv2d(images, kernels2)
F.conv3d(volumes, kernels3)
F.conv_transpose1d(sequences, kernels1.transpose(0, 1))
F.conv_transpose2d(images, kernels2.transpose(0, 1))
F.conv_transpose3d(volumes, kernels3.transpose(0, 1))
F.conv_tbc(frames, cubes.transpose(1, 2)[:, :, :3], v)
F.max_pool1d(sequences, 2)
F.max_pool2d(images, 2)
F.max_pool3d(volumes, 2)
F.max_pool1d_with_indices(sequences, 2)
F.max_pool2d_with_indices(images, 2)
F.max_pool3d_with_indices(volumes, 2)
F.max_unpool1d(*F.max_pool1d(sequences, 2, return_indices=True), 2)
F.max_unpool2d(*F.max_pool2d(images, 2, return_indices=True), 2)
F.max_unpool3d(*F.max_pool3d(volumes, 2, return_indices=True), 2)
F.avg_pool1d(sequences, 2)
F.avg_pool2d(images, 2)
F.avg_pool3d(volumes, 2)
F.lp_pool1d(sequences, 2, 2)
F.lp_pool2d(images, 2, 2)
F.lp_pool3d(volumes, 2, 2)
F.adaptive_avg_pool1d(sequences, 2)
F.adaptive_avg_pool2d(images, 2)
F.adaptive_avg_pool3d(volumes, 2)
F.adaptive_max_pool1d(sequences, 2)
F.adaptive_max_pool2d(images, 2)
F.adaptive_max_pool3d(volumes, 2)
F.adaptive_max_pool1d_with_indices(sequences, 2)
F.adaptive_max_pool2d_with_indices(images, 2)
F.adaptive_max_pool3d_with_indices(volumes, 2)
F.fold(b, (4, 2), (3, 1))
F.unfold(images, 2)
F.pad(m, (1, 1))  ~  n.pad(m, ((0, 0), (1, 1)))
F.pad(images, (1, 1, 1, 1), 'reflect')
F.interpolate(images, scale_factor=2)
F.interpolate(images, scale_factor=2, mode='bilinear')
F.upsample(images, scale_factor=2)
F.upsample_nearest(images, scale_factor=2)
F.upsample_bilinear(images, scale_factor=2)
F.affine_grid(w.t()[None, :2, :3], (1, 1, 4, 4), align_corners=False)
F.grid_sample(images, grid, align_corners=False)
F.pixel_shuffle(b.reshape(1, 4, 2, 3), 2)
F.pixel_unshuffle(b.reshape(1, 1, 4, 6), 2)
F.channel_shuffle(b.reshape(1, 4, 2, 3), 2)
F.native_channel_shuffle(b.reshape(1, 4, 2, 3), 2)
F.scaled_dot_product_attention(b, b, b)
""",
}

#: What has no row, and why. What else is written in place, as `mul_`, has none either: it is an operation that has one,
#: and a write, of which there are some.
LEFT_OUT = {
    "cuda": "needs a GPU",
    "histogramdd": "the cells of a grid, found as those of `histogram`, which has a row",
    "segment_reduce": "`scatter_reduce`, which has a row, of places that lengths are counted to",
    "svd_lowrank": "random numbers, products, `qr` and `svd`, which have rows",
    "pca_lowrank": "`svd_lowrank` of what is left of its means",
    **dict.fromkeys(("special.j0", "special.j1", "special.y0", "special.y1"), "other names of what has rows"),
    **dict.fromkeys(("special.beta", "special.betaln", "special.betainc"), "torch has no such functions"),
    "multi_head_attention_forward": "nn.MultiheadAttention's inside: products and softmax, which have rows",
}
#: Draw numbers of their own, or none: shapes and dtypes are all there is to compare.
UNDETERMINED = {"empty", "empty_like", "new_empty", "random numbers"}

_NAMED = re.compile(r"([\w.]+): ")
_FIRST = re.compile(r"\b(?:t|F)\.([\w.]+)\(|\.(\w+)\(")


def _name(call: str, family: str) -> str:
    """Give the name of the operation that is called first; what has none goes by its family."""
    found = None if family in ("operators", "writes") else _FIRST.search(call)
    if found:
        return found[1] or found[2]
    return "getitem" if family == "parts and joints" else family


def written() -> list[Written]:
    """Give all calls that are written here."""
    calls = []
    for family, lines in _LINES.items():
        for line in lines.strip().splitlines():
            named = _NAMED.match(line)
            ours, _, theirs = (part.strip() for part in line[named.end() if named else 0 :].partition("~"))
            calls.append(Written(named[1] if named else _name(ours, family), family, ours, theirs or None))
    return calls
