"""Splitting: every row once, each class its share, the same rows of everything,
whatever holds them; and one-hot rows, compared with the identity matrix."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import one_hot, split

RNG = np.random.default_rng(2)
CLASSES = np.repeat([0, 1, 2], [70, 23, 7])[RNG.permutation(100)]


@pytest.mark.parametrize("shares", [(0.8, 0.2), (0.7, 0.15, 0.15), (0.25,) * 4, (0.001, 0.999)])
@pytest.mark.parametrize("stratify", [None, CLASSES])
def test_every_row_is_in_one_part_and_sizes_are_right(shares, stratify):
    rows = np.arange(1000) if stratify is None else np.arange(100)
    if stratify is not None and min(shares) < 0.01:
        shares = (0.02, 0.98)
    parts = split(rows, shares=shares, stratify=stratify, seed=3)
    assert sorted(np.concatenate(parts).tolist()) == rows.tolist()
    for part, share in zip(parts, shares, strict=True):
        assert abs(len(part) - share * len(rows)) < 1
    assert all((np.diff(part) > 0).all() for part in parts)  # in the order that they had


@pytest.mark.parametrize("seed", range(20))
def test_each_class_gives_its_share(seed):
    two = split(CLASSES, shares=(0.8, 0.2), stratify=CLASSES, seed=seed)
    three = split(CLASSES, shares=(0.7, 0.15, 0.15), stratify=CLASSES, seed=seed)
    for parts, shares, bound in ((two, (0.8, 0.2), 1), (three, (0.7, 0.15, 0.15), 2)):
        for part, share in zip(parts, shares, strict=True):
            counts = np.bincount(part, minlength=3)
            assert (abs(counts - share * np.array([70, 23, 7])) < bound).all()


def test_without_strata_a_rare_class_may_be_missing():
    missing = [7 not in split(np.repeat([0, 7], [95, 5]), seed=s)[1] for s in range(40)]
    assert 5 < sum(missing) < 25  # 0.8**5 of 40 is 13


def test_the_same_seed_gives_the_same_parts_and_another_others():
    first = split(np.arange(50), stratify=CLASSES[:50])
    assert np.array_equal(first[1], split(np.arange(50), stratify=CLASSES[:50], seed=0)[1])
    assert not np.array_equal(first[1], split(np.arange(50), stratify=CLASSES[:50], seed=1)[1])
    texts = np.array(["c", "a", "b"])[CLASSES[:50]]
    for same in (texts, texts.tolist(), tuple(texts), CLASSES[:50].astype(float)):
        assert np.array_equal(first[1], split(np.arange(50), stratify=same)[1])


def test_gaps_are_one_class():
    marks = [float("nan") if i % 2 else 1.0 for i in range(40)]
    for stratify in (marks, np.array(marks), np.array(marks, object), np.float32(marks)):
        for part, of_each in zip(split(np.arange(40), stratify=stratify), (16, 4), strict=True):
            assert np.bincount(part % 2).tolist() == [of_each, of_each]


def test_rows_stay_together_whatever_holds_them(tmp_path):
    x = RNG.normal(size=(30, 4))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    texts = [f"row {i}" for i in range(30)]
    train, test = split(np.arange(30), x, mapped, texts, tuple(texts), seed=5)
    for numbers, rows, of_file, named, again in (train, test):
        np.testing.assert_array_equal(rows, x[numbers])
        np.testing.assert_array_equal(of_file, x[numbers])
        assert named == again == [f"row {i}" for i in numbers]


def test_parts_are_trained_tested_and_drawn_uniformly():
    (x, y), (x_test, y_test) = split(*cr.datasets.moons(200, seed=1), seed=0)
    assert (x.shape, y.shape, x_test.shape, y_test.shape) == ((160, 2), (160,), (40, 2), (40,))
    hits = np.zeros(20)
    for seed in range(500):
        hits[split(np.arange(20), shares=(0.75, 0.25), seed=seed)[1]] += 1
    assert (abs(hits - 125) < 5 * np.sqrt(500 * 0.25 * 0.75)).all()


# ---- one_hot ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", int, bool, np.uint8])
@pytest.mark.parametrize("kind", ["i8", "u1", "i4"])
def test_one_hot_rows_are_those_of_the_identity(dtype, kind):
    labels = RNG.integers(0, 5, size=(6, 3)).astype(kind)
    y = one_hot(labels, 5, dtype)
    assert y.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(y, np.eye(5)[labels])


def test_one_hot_finds_the_number_of_classes():
    assert one_hot([2, 0]).shape == (2, 3)
    assert one_hot([2, 0], num_classes=7).shape == (2, 7)
    assert one_hot([], num_classes=3).shape == (0, 3)
    assert one_hot(np.array([True, False])).tolist() == [[0, 1], [1, 0]]
    assert one_hot(1, num_classes=2).tolist() == [0, 1]


def test_one_hot_targets_give_the_loss_of_the_labels():
    logits, labels = RNG.normal(size=(8, 4)), RNG.integers(0, 4, 8)
    loss = cr.SoftmaxCrossEntropy()
    assert loss(logits, one_hot(labels, 4))[0] == pytest.approx(loss(logits, labels)[0], rel=1e-6)
