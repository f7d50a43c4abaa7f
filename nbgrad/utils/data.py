"""Data in batches: datasets, samplers and a loader whose workers are threads."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate, islice
from typing import Any

import numpy as np

from ..generator import Generator, default_generator
from ..variable import Variable, get_default_dtype

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "random_split",
]


class Dataset:
    """What has samples by number: write ``__getitem__`` and ``__len__``."""

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__")

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset([self, other])

    def __class_getitem__(cls, kind: Any) -> Any:
        return cls


class IterableDataset(Dataset):
    """What gives samples one after the other: write ``__iter__``."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} has no __iter__")


class TensorDataset(Dataset):
    """The rows of Variables or arrays, side by side. Raises ValueError for different numbers of rows."""

    def __init__(self, *tensors: Any) -> None:
        if not tensors or any(len(x) != len(tensors[0]) for x in tensors):
            raise ValueError(f"TensorDataset: Size mismatch between tensors: {[np.shape(x)[:1] for x in tensors]}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> Any:
        return tuple(x[index] for x in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class StackDataset(Dataset):
    """Datasets side by side, as a tuple, or by name as a dict."""

    def __init__(self, *datasets: Any, **named: Any) -> None:
        if bool(datasets) is bool(named):
            raise ValueError("StackDataset: takes datasets, or datasets by name")
        self.datasets: Any = named or datasets
        parts = list(named.values() if named else datasets)
        if any(len(x) != len(parts[0]) for x in parts):
            raise ValueError(f"StackDataset: Size mismatch between datasets: {[len(x) for x in parts]}")
        self._length = len(parts[0])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: x[index] for name, x in self.datasets.items()}
        return tuple(x[index] for x in self.datasets)

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset):
    """Datasets one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: datasets should not be an empty iterable")
        self.cumulative_sizes = list(accumulate(len(x) for x in self.datasets))

    def __getitem__(self, index: int) -> Any:
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"ConcatDataset: index {index} is out of range for {count}")
        index %= count
        for dataset, end in zip(self.datasets, self.cumulative_sizes, strict=True):
            if index < end:
                return dataset[index - end + len(dataset)]
        raise AssertionError

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class Subset(Dataset):
    """Some of a dataset's samples, by their numbers."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


def _shuffled(count: int, generator: Generator | None) -> list[int]:
    keys = (generator or default_generator).draw("uniform", (count,), np.float64)
    order: list[int] = np.argsort(keys, kind="stable").tolist()
    return order


def random_split(dataset: Any, lengths: Sequence[float], generator: Generator | None = None) -> list[Subset]:
    """Cut a dataset at random into subsets of some lengths, or of shares that add up to 1.

    Raises ValueError where they do not add up.
    """
    count = len(dataset)
    sizes = [int(length) for length in lengths]
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        sizes = [math.floor(count * length) for length in lengths]
        for place in range(count - sum(sizes)):
            sizes[place % len(sizes)] += 1
    if sum(sizes) != count:
        raise ValueError(f"random_split: lengths {list(lengths)} do not add up to the {count} samples of the dataset")
    order = _shuffled(count, generator)
    ends = list(accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


# ---- samplers -------------------------------------------------------------------------------------------------------


class Sampler:
    """What gives numbers of samples, in the order in which they are wanted."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError

    def __class_getitem__(cls, kind: Any) -> Any:
        return cls


class SequentialSampler(Sampler):
    """All numbers, in order."""

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """All numbers in an order drawn anew each time, or as many of them as wanted."""

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self.num_samples = len(data_source) if num_samples is None else num_samples
        if self.num_samples <= 0:
            raise ValueError(f"RandomSampler: num_samples should be a positive integer, got {self.num_samples}")

    def __iter__(self) -> Iterator[int]:
        count, left = len(self.data_source), self.num_samples
        if not count:
            raise ValueError(f"RandomSampler: {left} samples of data without elements")
        while left > 0:  # in pieces: loops without an end ask for as many numbers as there are
            if self.replacement:
                drawn = (self.generator or default_generator).draw("uniform", (min(left, 1024),), np.float64)
                piece = (drawn * count).astype(np.int64).tolist()
            else:
                piece = _shuffled(count, self.generator)[:left]
            yield from piece
            left -= len(piece)

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """Some numbers in an order drawn anew each time."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        return (self.indices[i] for i in _shuffled(len(self.indices), self.generator))

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Numbers drawn in proportion to weights."""

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Generator | None = None
    ) -> None:
        self.weights, self.num_samples = np.asarray(weights, np.float64), num_samples
        self.replacement, self.generator = replacement, generator
        if not replacement and num_samples > np.count_nonzero(self.weights):
            raise ValueError(f"WeightedRandomSampler: {num_samples} samples of fewer with a weight, each once")

    def __iter__(self) -> Iterator[int]:
        generator = self.generator or default_generator
        found: list[int]
        if self.replacement:
            ends = np.cumsum(self.weights)
            drawn = generator.draw("uniform", (self.num_samples,), np.float64) * ends[-1]
            found = np.searchsorted(ends, drawn, side="right").tolist()
        else:  # the first to arrive, at rates that are the weights (Efraimidis and Spirakis, 2006)
            with np.errstate(divide="ignore"):
                times = -np.log1p(-generator.draw("uniform", self.weights.shape, np.float64)) / self.weights
            found = np.argsort(times, kind="stable")[: self.num_samples].tolist()
        return iter(found)

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Numbers in batches."""

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[Any]]:
        numbers = iter(self.sampler)
        while batch := list(islice(numbers, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return whole + bool(rest and not self.drop_last)


# ---- from samples to batches ----------------------------------------------------------------------------------------


def default_collate(batch: Sequence[Any]) -> Any:
    """Make one batch of samples: numbers and arrays stacked as Variables, in tuples, lists and dicts as they are.

    Floats of Python become the default dtype. Raises ValueError for samples of different shapes.
    """
    first = batch[0]
    if isinstance(first, Variable):
        return Variable(_stacked([x.data for x in batch]), requires_grad=False)
    if isinstance(first, float):
        return Variable(np.array(batch, get_default_dtype()), requires_grad=False)
    if isinstance(first, bool | int):
        return Variable(np.array(batch), requires_grad=False)
    if isinstance(first, str | bytes) or first is None:
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(part) for part in zip(*batch, strict=True)))
    if isinstance(first, list | tuple):
        if any(len(sample) != len(first) for sample in batch):
            raise ValueError("default_collate: samples of a batch have different numbers of parts: give collate_fn")
        parts = [default_collate(part) for part in zip(*batch, strict=True)]
        return tuple(parts) if isinstance(first, tuple) else parts
    if hasattr(first, "__array__"):  # NumPy's, and tensors of other libraries
        arrays = [np.asarray(x.detach().cpu() if hasattr(x, "detach") else x) for x in batch]
        return Variable(_stacked(arrays), requires_grad=False)
    raise TypeError(
        f"default_collate: batch must contain arrays, numbers, dicts or lists; found {type(first).__name__}: "
        "give collate_fn"
    )


def _stacked(arrays: list[Any]) -> Any:
    shapes = {x.shape for x in arrays}
    if len(shapes) > 1:
        raise ValueError(f"default_collate: samples of a batch have shapes {sorted(shapes)}: give collate_fn")
    return np.stack(arrays)


class DataLoader:
    """Batches of a dataset's samples, or of an iterable's; with workers, threads make the next ones meanwhile.

    An error in a worker is raised where its batch would come, with the samples' numbers in a note. Batches come in
    order. `dataset` is anything with ``__getitem__`` and ``__len__``, as PyTorch's and Hugging Face's datasets, lists
    and arrays, or an iterable, whose samples are taken one after the other (by one thread).

    >>> import numpy as np
    >>> data = TensorDataset(np.arange(5.0), np.arange(5))
    >>> [y.tolist() for x, y in DataLoader(data, batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
    ) -> None:
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable threads.")
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        self.dataset, self.num_workers, self.timeout = dataset, num_workers, timeout
        self.generator, self.drop_last, self.worker_init_fn = generator, drop_last, worker_init_fn
        self.prefetch_factor = 2 if prefetch_factor is None else prefetch_factor
        self._by_number = hasattr(dataset, "__getitem__") and not isinstance(dataset, IterableDataset)
        if not self._by_number and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader with IterableDataset: expected unspecified sampler, batch_sampler and shuffle")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        self.batch_size = batch_size
        if self._by_number and sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        self.sampler = sampler
        if batch_sampler is None and batch_size is not None and self._by_number:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        elif batch_size is not None and (not isinstance(batch_size, int) or batch_size <= 0):
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        self.batch_sampler = batch_sampler
        alone = batch_sampler is None and batch_size is None
        self.collate_fn = collate_fn or (_as_it_is if alone else default_collate)

    def __len__(self) -> int:
        if not self._by_number:
            count = len(self.dataset)
            if self.batch_size is None:
                return count
            return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        if not self._by_number:
            return self._along()
        chosen = self.sampler if self.batch_sampler is None else self.batch_sampler
        if self.num_workers == 0:
            return (self._batch(numbers) for numbers in chosen)
        return self._by_workers(chosen)

    def _along(self) -> Iterator[Any]:
        samples = iter(self.dataset)
        if self.batch_size is None:
            yield from map(self.collate_fn, samples)
            return
        while batch := list(islice(samples, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield self.collate_fn(batch)

    def _batch(self, numbers: Any) -> Any:
        try:
            if self.batch_sampler is None:
                return self.collate_fn(self.dataset[numbers])
            several = getattr(self.dataset, "__getitems__", None)
            samples = [self.dataset[number] for number in numbers] if several is None else several(numbers)
            return self.collate_fn(samples)
        except Exception as error:
            if hasattr(error, "add_note"):
                error.add_note(f"DataLoader: while the batch of the samples {numbers} was made")
            raise

    def _by_workers(self, chosen: Iterable[Any]) -> Iterator[Any]:
        started = iter(range(self.num_workers))
        lock = threading.Lock()

        def begin() -> None:
            if self.worker_init_fn is not None:
                with lock:
                    number = next(started)
                self.worker_init_fn(number)

        pool = ThreadPoolExecutor(self.num_workers, "nbgrad-data", initializer=begin)
        waiting: list[Future[Any]] = []
        try:
            numbers = iter(chosen)
            for batch in islice(numbers, self.num_workers * self.prefetch_factor):
                waiting.append(pool.submit(self._batch, batch))
            while waiting:
                made = waiting.pop(0).result(self.timeout or None)
                for batch in islice(numbers, 1):
                    waiting.append(pool.submit(self._batch, batch))
                yield made
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _as_it_is(sample: Any) -> Any:
    return sample
