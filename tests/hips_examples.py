"""HIPS autograd's examples, in our own words: small models on made-up data, of one library or the other.

Each takes a library, by whose names it is written (`np`, `logsumexp`, `norm`, ...), and gives an objective and the
parameters that it is differentiated by: the code is one, what changes is where the names come from.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as onp

Example = Callable[[Any], tuple[Callable[..., Any], Any]]


def numbers(*shape: int, seed: int = 0) -> Any:
    """Draw numbers from the standard normal distribution, the same ones every time."""
    return onp.random.RandomState(seed).randn(*shape)


def logistic_regression(lib: Any) -> Any:
    """The likelihood of four labels under a linear model."""
    np = lib.np
    inputs, targets = numbers(4, 3), onp.array([True, True, False, True])

    def loss(weights: Any) -> Any:
        predicted = 0.5 * (np.tanh(np.dot(inputs, weights)) + 1)
        return -np.sum(np.log(predicted * targets + (1 - predicted) * (1 - targets)))

    return loss, numbers(3, seed=1)


def layers(sizes: Any, scale: float = 0.3) -> Any:
    """Draw weights and biases of layers."""
    pairs = enumerate(itertools.pairwise(sizes))
    return [(scale * numbers(m, n, seed=i), scale * numbers(n, seed=i + 9)) for i, (m, n) in pairs]


def neural_net(lib: Any) -> Any:
    """A perceptron of three layers with a penalty on the flattened weights."""
    np, images = lib.np, numbers(6, 5)
    labels = onp.eye(3)[[0, 2, 1, 1, 0, 2]]

    def loss(params: Any) -> Any:
        inputs = images
        for w, b in params:
            outputs = np.dot(inputs, w) + b
            inputs = np.tanh(outputs)
        logprobs = outputs - lib.logsumexp(outputs, axis=1, keepdims=True)
        flat, _ = lib.flatten(params)
        return 0.1 * np.dot(flat, flat) - np.sum(logprobs * labels)

    return loss, layers([5, 4, 4, 3])


def _joined(np: Any, weights: Any, *parts: Any) -> Any:
    return np.dot(np.hstack((*parts, onp.ones((parts[0].shape[0], 1)))), weights)


def rnn(lib: Any) -> Any:
    """A recurrent network that predicts the next letter of several strings at once."""
    np = lib.np
    letters = onp.eye(4)[onp.array([[0, 1], [2, 3], [1, 1], [3, 0]])]

    def loss(params: Any) -> Any:
        hidden = np.repeat(params["init"], letters.shape[1], axis=0)
        total = 0.0
        for letter in letters:
            output = _joined(np, params["predict"], hidden)
            total += np.sum((output - lib.logsumexp(output, axis=1, keepdims=True)) * letter)
            hidden = np.tanh(_joined(np, params["change"], letter, hidden))
        return -total / letters.size

    return loss, {"init": numbers(1, 3), "change": numbers(4 + 3 + 1, 3, seed=1), "predict": numbers(3 + 1, 4, seed=2)}


def lstm(lib: Any) -> Any:
    """The same with gates."""
    np = lib.np
    letters = onp.eye(4)[onp.array([[0, 1], [2, 3], [1, 1]])]

    def sigmoid(x: Any) -> Any:
        return 0.5 * (np.tanh(x) + 1)

    def loss(params: Any) -> Any:
        hidden = np.repeat(params["hidden"], letters.shape[1], axis=0)
        cells = np.repeat(params["cells"], letters.shape[1], axis=0)
        outputs = []
        for letter in letters:
            change = np.tanh(_joined(np, params["change"], letter, hidden))
            forget, gate, out = (sigmoid(_joined(np, params[k], letter, hidden)) for k in ("forget", "in", "out"))
            cells = cells * forget + gate * change
            hidden = out * np.tanh(cells)
            output = _joined(np, params["predict"], hidden)
            outputs.append(output - lib.logsumexp(output, axis=1, keepdims=True))
        return -sum(np.sum(output * letter) for output, letter in zip(outputs, letters, strict=True))

    params = {name: numbers(4 + 2 + 1, 2, seed=i) for i, name in enumerate(("change", "forget", "in", "out"))}
    return loss, params | {"hidden": numbers(1, 2), "cells": numbers(1, 2, seed=8), "predict": numbers(3, 4, seed=9)}


def gaussian_process(lib: Any) -> Any:
    """The marginal likelihood of a regression by a Gaussian process, and a prediction by it."""
    np = lib.np
    x, y, new = numbers(7, 1), onp.cos(numbers(7)), numbers(3, 1, seed=3)

    def covariance(params: Any, x: Any, z: Any) -> Any:
        scales = np.exp(params[1:])
        differences = np.expand_dims(x / scales, 1) - np.expand_dims(z / scales, 0)
        return np.exp(params[0]) * np.exp(-0.5 * np.sum(differences**2, axis=2))

    def loss(params: Any) -> Any:
        mean, noise, rest = params[0], np.exp(params[1]) + 0.001, params[2:]
        whole = covariance(rest, x, x) + noise * onp.eye(len(y))
        predicted = mean + np.dot(np.linalg.solve(whole, covariance(rest, x, new)).T, y - mean)
        return np.sum(predicted**2) - lib.multivariate_normal.logpdf(y, mean * onp.ones(len(y)), whole)

    return loss, 0.1 * numbers(4)


def gmm(lib: Any) -> Any:
    """The likelihood of points under a mixture of normal distributions."""
    np, data = lib.np, numbers(9, 2)

    def loss(params: Any) -> Any:
        weights = params["log proportions"] - lib.logsumexp(params["log proportions"])
        likelihoods = []
        for weight, mean, root in zip(weights, params["means"], params["roots"], strict=True):
            likelihoods.append(weight + lib.multivariate_normal.logpdf(data, mean, np.dot(root.T, root)))
        return -np.sum(lib.logsumexp(np.vstack(likelihoods), axis=0))

    roots = 0.2 * numbers(3, 2, 2, seed=2) + onp.eye(2)
    return loss, {"log proportions": numbers(3), "means": numbers(3, 2, seed=1), "roots": roots}


def hmm_em(lib: Any) -> Any:
    """The likelihood of a sequence under a hidden Markov model, whose gradient has the expected counts."""
    np, sequence = lib.np, [0, 2, 1, 1, 3, 0]

    def loss(params: Any) -> Any:
        start, change, output = params
        state = start
        for y in sequence:
            state = lib.logsumexp(state[:, None] + change, axis=0) + output[:, y]
        return lib.logsumexp(state)

    return loss, (np.log(onp.full(3, 1 / 3)), numbers(3, 3), numbers(3, 4, seed=1))


def black_box_svi(lib: Any) -> Any:
    """A lower bound by samples of a normal distribution whose mean and spread are the parameters."""
    np, noise = lib.np, numbers(5, 2)

    def density(x: Any) -> Any:
        spread = lib.norm.logpdf(x[:, 1], 0, 1.35)
        return spread + lib.norm.logpdf(x[:, 0], 0, np.exp(x[:, 1]))

    def loss(params: Any) -> Any:
        mean, log_std = params[:2], params[2:]
        samples = noise * np.exp(log_std) + mean
        return -(0.5 * 2 * (1.0 + np.log(2 * np.pi)) + np.sum(log_std) + np.mean(density(samples)))

    return loss, numbers(4, seed=1)


def mixture_variational_inference(lib: Any) -> Any:
    """A lower bound where the samples are drawn of several normal distributions."""
    np, k, noise = lib.np, 3, numbers(3, 4, 2)

    def component(params: Any, x: Any) -> Any:
        return np.sum(lib.norm.logpdf(x, params[:2], np.exp(params[2:])), axis=-1)

    def loss(params: Any) -> Any:
        weights = params[:k] - lib.logsumexp(params[:k])
        parts = np.reshape(params[k:], (k, -1))
        total = 0.0
        for i in range(k):
            samples = noise[i] * np.exp(parts[i, 2:]) + parts[i, :2]
            densities = [weights[j] + component(parts[j], samples) for j in range(k)]
            log_q = lib.logsumexp(np.vstack(densities), axis=0)
            log_p = -np.sum((samples**2 - 1) ** 2, axis=-1)
            total = total + np.exp(weights[i]) * np.mean(log_p - log_q)
        return -total

    return loss, 0.3 * numbers(k + k * 4, seed=1)


def variational_autoencoder(lib: Any) -> Any:
    """A lower bound of images under a decoder, with an encoder that guesses their latents."""
    np, images, noise = lib.np, onp.sign(numbers(5, 4)), numbers(5, 2, seed=1)

    def net(params: Any, inputs: Any) -> Any:
        for w, b in params[:-1]:
            outputs = np.dot(inputs, w) + b
            mean = np.mean(outputs, axis=0, keepdims=True)
            inputs = np.maximum(0, (outputs - mean) / (np.std(outputs, axis=0, keepdims=True) + 1))
        w, b = params[-1]
        return np.dot(inputs, w) + b

    def loss(params: Any) -> Any:
        decoder, encoder = params
        guess = net(encoder, images)
        mean, log_std = guess[:, :2], guess[:, 2:]
        latents = noise * np.exp(log_std) + mean
        log_q = np.sum(lib.norm.logpdf(latents, mean, np.exp(log_std)), axis=-1)
        prior = np.sum(lib.norm.logpdf(latents, 0, 1), axis=-1)
        log_p = np.sum(-np.logaddexp(0, -net(decoder, latents) * images), axis=-1)
        return -np.mean(prior + log_p - log_q)

    return loss, (layers([2, 3, 4]), layers([4, 3, 4]))


def fluidsim(lib: Any) -> Any:
    """Smoke carried about by a flow without divergence, and how far it is from where it should go."""
    np, n = lib.np, 5
    smoke, target = lib.constant(onp.abs(numbers(n, n))), onp.abs(numbers(n, n, seed=1))

    def project(vx: Any, vy: Any) -> Any:
        p, h = onp.zeros((n, n)), 1.0 / n
        by_x, by_y = (np.roll(v, -1, axis=i) - np.roll(v, 1, axis=i) for i, v in enumerate((vx, vy)))
        divergence = -0.5 * h * (by_x + by_y)
        for _ in range(3):
            p = (divergence + np.roll(p, 1, 0) + np.roll(p, -1, 0) + np.roll(p, 1, 1) + np.roll(p, -1, 1)) / 4.0
        vx = vx - 0.5 * (np.roll(p, -1, axis=0) - np.roll(p, 1, axis=0)) / h
        vy = vy - 0.5 * (np.roll(p, -1, axis=1) - np.roll(p, 1, axis=1)) / h
        return vx, vy

    def advect(f: Any, vx: Any, vy: Any) -> Any:
        ys, xs = np.meshgrid(onp.arange(n), onp.arange(n))
        at_x, at_y = (xs - vx).ravel(), (ys - vy).ravel()
        left, top = np.floor(at_x).astype(int), np.floor(at_y).astype(int)
        right_share, bottom_share = at_x - left, at_y - top
        left, top = np.mod(left, n), np.mod(top, n)
        right, bottom = np.mod(left + 1, n), np.mod(top + 1, n)
        from_left = (1 - bottom_share) * f[left, top] + bottom_share * f[left, bottom]
        from_right = (1 - bottom_share) * f[right, top] + bottom_share * f[right, bottom]
        return np.reshape((1 - right_share) * from_left + right_share * from_right, (n, n))

    def loss(params: Any) -> Any:
        vx, vy, f = np.reshape(params[: n * n], (n, n)), np.reshape(params[n * n :], (n, n)), smoke
        for _ in range(2):
            vx, vy = project(advect(vx, vx, vy), advect(vy, vx, vy))
            f = advect(f, vx, vy)
        return np.mean((target - f) ** 2)

    return loss, 0.4 * numbers(2 * n * n, seed=2)


def convnet(lib: Any) -> Any:
    """A convolution, the maxima of squares, and a layer that tells classes."""
    np, images = lib.np, numbers(3, 1, 5, 5)
    labels = onp.eye(3)[[2, 0, 1]]

    def loss(params: Any) -> Any:
        kernels, biases = np.reshape(params[:8], (1, 2, 2, 2)), np.reshape(params[8:10], (1, 2, 1, 1))
        units = lib.convolve(images, kernels, axes=([2, 3], [2, 3]), dot_axes=([1], [0]), mode="valid") + biases
        units = np.max(np.max(units.reshape((3, 2, 2, 2, 2, 2)), axis=3), axis=4)
        flat = units.reshape((3, 8))
        outputs = np.dot(np.tanh(flat), np.reshape(params[10:34], (8, 3))) + params[34:]
        largest = np.max(outputs)
        logprobs = outputs - (largest + np.log(np.sum(np.exp(outputs - largest), axis=1, keepdims=True)))
        return 0.1 * np.dot(params, params) - np.sum(logprobs * labels)

    return loss, 0.5 * numbers(37, seed=1)


def ica(lib: Any) -> Any:
    """The likelihood of what is observed of independent latents, with errors of Student's distribution."""
    np, observed = lib.np, numbers(5, 4)

    def loss(params: Any) -> Any:
        weights, latents = np.reshape(params[:8], (4, 2)), np.reshape(params[8:18], (2, 5))
        predicted = np.dot(weights, latents).T
        return -np.sum(lib.t.logpdf(predicted, 2.4, observed, np.exp(params[-1]))) / 5

    return loss, numbers(19, seed=1)


def ode_net(lib: Any) -> Any:
    """The parameters of a differential equation, from where its solution goes."""
    np, times, start = lib.np, onp.linspace(0.0, 1.0, 4), onp.array([1.0, 0.5])
    wanted = numbers(4, 2)

    def slope(y: Any, t: Any, params: Any) -> Any:
        for w, b in params:
            outputs = np.dot(y, w) + b
            y = np.tanh(outputs)
        return outputs

    def loss(params: Any) -> Any:
        path = lib.odeint(slope, start, times, lib.tuple((params,)), rtol=1e-10, atol=1e-10)
        return np.mean(np.abs(path - wanted))

    return loss, layers([2, 3, 2], 0.5)


EXAMPLES: list[Example] = [
    logistic_regression, neural_net, rnn, lstm, gaussian_process, gmm, hmm_em, black_box_svi,
    mixture_variational_inference, variational_autoencoder, fluidsim, convnet, ica, ode_net,
]  # fmt: skip
