import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    StackDataset,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)

DATA = TensorDataset(np.arange(10.0).reshape(10, 1), np.arange(10))


class Breaking(Dataset):
    def __getitem__(self, index):
        if index == 5:
            raise OSError("the disk is gone")
        return index

    def __len__(self):
        return 10


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order(workers):
    batches = list(DataLoader(DATA, batch_size=4, num_workers=workers))
    assert [y.tolist() for _, y in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batches[0][0].shape == (4, 1) and isinstance(batches[0][0], nbgrad.Variable)
    assert len(DataLoader(DATA, batch_size=4, drop_last=True)) == 2
    alone = list(DataLoader(DATA, batch_size=None, num_workers=workers))
    assert len(alone) == 10 and alone[3][1] == 3


def test_shuffling_is_the_generators():
    first = [y.tolist() for _, y in DataLoader(DATA, 5, shuffle=True, generator=nbgrad.Generator().manual_seed(1))]
    again = [y.tolist() for _, y in DataLoader(DATA, 5, shuffle=True, generator=nbgrad.Generator().manual_seed(1))]
    assert first == again and sorted(first[0] + first[1]) == list(range(10)) != first[0] + first[1]
    loader = DataLoader(DATA, 10, shuffle=True)
    assert next(iter(loader))[1].tolist() != next(iter(loader))[1].tolist()


@pytest.mark.parametrize("workers", [0, 3])
def test_errors_come_where_their_batch_would(workers):
    found = []
    with pytest.raises(OSError, match="the disk is gone") as caught:
        for batch in DataLoader(Breaking(), batch_size=2, num_workers=workers):
            found.append(batch.tolist())
    assert found == [[0, 1], [2, 3]]
    assert any("samples [4, 5]" in note for note in getattr(caught.value, "__notes__", ["samples [4, 5]"]))


def test_leaving_early_ends_the_workers():
    for _ in DataLoader(DATA, num_workers=2):
        break
    started = []
    list(DataLoader(DATA, 5, num_workers=2, worker_init_fn=started.append))
    assert started and set(started) <= {0, 1}


def test_datasets():
    both = ConcatDataset([DATA, Subset(DATA, [3, 4])])
    assert len(both) == 12 and both[11][1] == 4 and both[-1][1] == 4 and (DATA + DATA)[10][1] == 0
    assert StackDataset(a=[1, 2], b=[3, 4])[1] == {"a": 2, "b": 4} and StackDataset([1], [2])[0] == (1, 2)
    parts = random_split(DATA, [0.5, 0.25, 0.25], nbgrad.Generator())
    assert [len(p) for p in parts] == [5, 3, 2] or [len(p) for p in parts] == [6, 2, 2]
    assert sorted(int(p[i][1]) for p in parts for i in range(len(p))) == list(range(10))
    weighted = list(WeightedRandomSampler([0, 1, 0, 3], 1000))
    assert set(weighted) == {1, 3} and 650 < weighted.count(3) < 850
    assert sorted(WeightedRandomSampler([1, 1, 0, 1], 3, replacement=False)) == [0, 1, 3]
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]


def test_random_numbers_are_drawn_as_they_are_needed():
    for replacement in (True, False):
        endless = iter(RandomSampler(range(3), replacement, num_samples=10**12))
        assert {next(endless) for _ in range(3000)} == {0, 1, 2}
        assert len(list(RandomSampler(range(3), replacement, num_samples=1031))) == 1031
        with pytest.raises(ValueError, match="2 samples of data without elements"):
            list(RandomSampler([], replacement, num_samples=2))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_iterables_and_other_libraries():
    class Counting(IterableDataset):
        def __iter__(self):
            return iter(range(5))

    assert [b.tolist() for b in DataLoader(Counting(), 2)] == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in DataLoader((x for x in range(3)), 2)] == [[0, 1], [2]]
    torch = peer("torch")
    theirs = torch.utils.data.TensorDataset(torch.arange(4.0), torch.arange(4))
    (x, y), _ = DataLoader(theirs, 2)
    assert isinstance(x, nbgrad.Variable) and x.dtype == np.float32 and y.tolist() == [0, 1]
    for x, _y in torch.utils.data.DataLoader(theirs, 2):
        assert nbgrad.tensor(x).shape == (2,)


def test_collating():
    batch = default_collate([{"a": 1.5, "b": (np.ones(2), "s")}, {"a": 2.5, "b": (np.zeros(2), "t")}])
    assert batch["a"].tolist() == [1.5, 2.5] and batch["b"][0].shape == (2, 2) and batch["b"][1] == ["s", "t"]
    with pytest.raises(ValueError, match="samples of a batch have shapes"):
        default_collate([np.ones(2), np.ones(3)])
    with pytest.raises(TypeError, match="found object"):
        default_collate([object()])


def test_refusals():
    for call in (
        lambda: DataLoader(DATA, 0),
        lambda: DataLoader(DATA, num_workers=-1),
        lambda: DataLoader(DATA, shuffle=True, sampler=[1]),
        lambda: DataLoader(DATA, 2, batch_sampler=[[1]]),
        lambda: DataLoader(iter([1]), shuffle=True),
        lambda: TensorDataset(np.ones(2), np.ones(3)),
        lambda: random_split(DATA, [3, 3]),
        lambda: WeightedRandomSampler([1, 0], 2, replacement=False),
    ):
        with pytest.raises(ValueError):
            call()
