"""Prices and portfolios."""

from __future__ import annotations

import math
from typing import Any

from .declaration import program

RATE = 0.03


def _options(random: Any, count: int) -> Any:
    ranges = ((80, 120), (80, 120), (0.1, 2), (0.1, 0.5))
    return tuple(random.uniform(low, high, count) for low, high in ranges)


@program("Black-Scholes of {0} options", _options, 4, small=(1000,), large=(500_000,))
def black_scholes(m: Any, spot: Any, strike: Any, time: Any, volatility: Any) -> Any:
    def below(x: Any) -> Any:
        return 0.5 * (1 + m.erf(x * math.sqrt(0.5)))

    deviation = volatility * m.sqrt(time)
    d1 = (m.log(spot / strike) + (RATE + 0.5 * volatility**2) * time) / deviation
    return m.sum(spot * below(d1) - strike * m.exp(-RATE * time) * below(d1 - deviation))


def _assets(random: Any, assets: int, days: int) -> Any:
    return 0.1 * random.standard_normal(assets), 0.01 * random.standard_normal((days, assets)) + 0.001


@program("portfolio of {0} assets over {1} days", _assets, 1, small=(20, 250), large=(500, 2500))
def portfolio(m: Any, score: Any, returns: Any) -> Any:
    weights = m.softmax(score, -1)
    gained = returns @ weights
    risk = m.sqrt(m.mean((gained - m.mean(gained)) ** 2))
    return -m.mean(m.log(1 + gained)) + 0.1 * risk + 0.01 * m.sum(weights**2)


def _paths(random: Any, paths: int, steps: int) -> Any:
    return [0.2, 0.05, 1.0], random.standard_normal((steps, paths))


@program("Asian options by {0} paths of {1} steps", _paths, 1, small=(200, 12), large=(50_000, 12))
def asian_option(m: Any, model: Any, noise: Any) -> Any:
    volatility, drift, spot = model[0], model[1], model[2]
    step = 1 / len(noise)
    log_price, total = m.log(spot), 0.0
    for k in range(len(noise)):
        log_price = log_price + (drift - 0.5 * volatility**2) * step + volatility * step**0.5 * noise[k]
        total = total + m.exp(log_price)
    return m.exp(-drift) * m.mean(m.relu(total * step - 1.0))
