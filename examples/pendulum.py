"""Swing a pendulum up with as little torque as can be: optimal control, by Newton's method on sparse matrices.

Angles, speeds and torques at all times are unknowns, and the equations of motion between neighbouring times are
constraints. Each iteration solves for all of them at once, by the Jacobian of the constraints and the Hessian of the
Lagrangian: both have a few elements a row, whose places nbgrad finds, and are compiled.
Run it with ``python examples/pendulum.py``; ``--help`` lists the options.
"""

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse
import scipy.sparse.linalg

import nbgrad

FRICTION = 0.1
#: What the motor can give is less than what it takes to lift the pendulum at once, so it has to swing.
SECONDS = 8.0


def parts(z):
    """Take the unknowns apart: angles, speeds and torques, time by time in rows."""
    z = z.reshape(-1, 3)
    return z[:, 0], z[:, 1], z[:, 2]


def effort(z):
    """The square of the torque, over time."""
    _, _, torque = parts(z)
    return (torque**2).mean() * SECONDS


def motion(z):
    """What has to be 0: the trapezoidal rule between neighbouring times, and where it begins and ends."""
    angle, speed, torque = parts(z)
    step = SECONDS / (angle.shape[0] - 1)
    force = torque - nbgrad.sin(angle) - FRICTION * speed
    turned = angle[1:] - angle[:-1] - step / 2 * (speed[1:] + speed[:-1])
    sped = speed[1:] - speed[:-1] - step / 2 * (force[1:] + force[:-1])
    ends = nbgrad.stack([angle[0], speed[0], angle[-1] - np.pi, speed[-1]])
    return nbgrad.cat([nbgrad.stack([turned, sped], 1).reshape(-1), ends])


def lagrangian(z, multipliers):
    return effort(z) + (multipliers * motion(z)).sum()


value_and_slope = nbgrad.jit(nbgrad.value_and_grad(effort))
constraints = nbgrad.jit(motion)
jacobian = nbgrad.jacobian(nbgrad.jit(motion), sparsity="detect")
hessian = nbgrad.hessian(nbgrad.jit(lagrangian), sparsity="detect")


def conditions(z, multipliers):
    """Give what is 0 at a solution, and the Jacobian of the constraints."""
    left = jacobian(z)
    return np.concatenate([value_and_slope(z)[1] + left.T @ multipliers, constraints(z)]), left


def solve(times, tolerance=1e-10, most=100):
    """Give the unknowns, and how far each iteration was from a solution."""
    z = np.zeros((times, 3))
    z[:, 0] = np.linspace(0, np.pi, times)
    z = z.reshape(-1)
    multipliers = np.zeros(constraints(z).size)
    history = []
    for _ in range(most):
        residual, left = conditions(z, multipliers)
        history.append(float(abs(residual).max()))
        if history[-1] < tolerance:
            break
        curvature = hessian(z, multipliers) + 1e-3 * min(1.0, history[-1]) * scipy.sparse.eye_array(z.size)
        system = scipy.sparse.block_array([[curvature, left.T], [left, None]], format="csc")
        direction = scipy.sparse.linalg.spsolve(system, -residual)
        step, before = 1.0, np.linalg.norm(residual)
        while step > 1e-3:  # shorter until the conditions are nearer
            there = z + step * direction[: z.size], multipliers + step * direction[z.size :]
            if np.linalg.norm(conditions(*there)[0]) <= (1 - 1e-3 * step) * before:
                break
            step /= 2
        z, multipliers = there
    return z, history


def main():
    """Solve, and draw the pendulum's way up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=400)
    parser.add_argument("--plot", type=Path, default=Path("pendulum.png"))
    options = parser.parse_args()
    started = time.perf_counter()
    z, history = solve(options.times)
    angle, speed, torque = z.reshape(-1, 3).T
    left, curvature = jacobian(z), hessian(z, np.zeros(constraints(z).size))
    print(f"{len(history) - 1} iterations in {time.perf_counter() - started:.1f} s, residual {history[-1]:.1e}")
    for name, matrix, plan in (
        ("Jacobian", left, jacobian.plan(z)),
        ("Hessian", curvature, hessian.plan(z, np.zeros(constraints(z).size))),
    ):
        print(f"{name} {matrix.shape[0]} x {matrix.shape[1]}, {matrix.nnz} elements, colours needed: {plan.count}")
    print(f"effort {float(effort(z)):.4f}, largest torque {abs(torque).max():.3f}")
    figure, (first, second, third) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    t = np.linspace(0, SECONDS, options.times)
    first.plot(t, angle / np.pi, label="angle / π")
    first.plot(t, speed, label="speed")
    first.plot(t, torque, label="torque")
    first.legend()
    first.set(xlabel="seconds", title="the way up")
    for k in range(0, options.times, max(1, options.times // 60)):
        shade = plt.cm.viridis(k / options.times)
        second.plot([0, np.sin(angle[k])], [0, -np.cos(angle[k])], color=shade, linewidth=0.8)
        second.plot(np.sin(angle[k]), -np.cos(angle[k]), "o", color=shade, markersize=3)
    second.set(aspect="equal", title="from dark to light")
    third.spy(scipy.sparse.block_array([[curvature, left.T], [left, None]]), markersize=0.4)
    third.set(title="the matrix of an iteration")
    figure.savefig(options.plot, dpi=150)
    print(f"picture in {options.plot}")


if __name__ == "__main__":
    main()
