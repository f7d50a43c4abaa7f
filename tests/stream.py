"""A stream of random numbers in NumPy, for the kernels of both targets to be held against."""

from typing import Any

import numpy as np

from nbgrad.kernels.philox import BLOCKS, GROUP, philox


def words(key: int, counters: Any) -> Any:
    """Give the four words of each counter."""
    low = 0xFFFFFFFF
    return np.array(philox(counters & low, counters >> 32, *map(np.uint64, (0, 0, key & low, key >> 32))))


def elements(kind: str, dtype: str, state: Any, places: Any) -> Any:
    """Give the elements at places of a stream."""
    places = np.asarray(places)
    group, within = np.divmod(places, GROUP[dtype])
    part, lane = np.divmod(within, BLOCKS)
    a, b, c, d = words(int(state[0]), np.uint64(state[1]) + (group * BLOCKS + lane).astype(np.uint64))
    wide = np.where(part % 2 == 0, b << 32 | a, d << 32 | c)
    if kind == "bits":
        return wide
    if kind == "uniform" and dtype == "float32":
        return ((np.choose(part, [a, b, c, d]) >> 8) * 2.0**-24).astype(dtype)
    if kind == "uniform":
        return (wide >> 11) * 2.0**-53
    if dtype == "float32":
        words_of_radius, words_of_angle = np.where(part < 2, a, c), np.where(part < 2, b, d)
        radius = ((words_of_radius >> 1).astype(dtype) + np.float32(0.5)) * np.float32(2.0**-31)
        turns = words_of_angle.astype(np.uint32).view(np.int32) * 2.0**-31
    else:
        radius, turns = ((b << 32 | a) >> 11) * 2.0**-53 + 2.0**-54, ((d << 32 | c) >> 11) * 2.0**-52 - 1
    wave = np.where(part % 2 == 0, np.cos(np.pi * turns), np.sin(np.pi * turns))
    return (np.sqrt(-2 * np.log(radius.astype(np.float64))) * wave).astype(dtype)
