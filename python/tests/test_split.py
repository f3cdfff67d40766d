"""The split: stable by key, by time, and as documented."""

import datetime
import decimal
import hashlib

import numpy as np
import pyarrow as pa
import pytest

from treeline.errors import DataError
from treeline.spec import Split
from treeline.training.split import canonical, hash_key, holdout

DAY = datetime.date(2026, 11, 1)


def keyed(ids, days=None):
    return pa.table({"id": ids, "day": days or [DAY] * len(ids)})


def test_the_hash_is_the_documented_one():
    text = "treeline-split-1\x1f7\x1f100042\x1fberlin"
    assert hash_key(7, (100042, "berlin")) == int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    # Fixed for ever: another release must put every key on the same side.
    assert hash_key(7, (100042, "berlin")) == 0x7F2EF6B028E6D49E


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (-5, "-5"),
        ("a\x1fb\\", "a\\\x1fb\\\\"),
        (0.1, "0.1"),
        (decimal.Decimal("1.500"), "1.5"),
        (decimal.Decimal("100"), "100"),
        (decimal.Decimal("-0.0"), "0"),
        (DAY, "2026-11-01"),
    ],
)
def test_canonical_texts(value, text):
    assert canonical(value) == text


def test_a_key_that_cannot_be_hashed():
    with pytest.raises(DataError, match="list"):
        canonical([1])


def test_a_key_keeps_its_side_on_other_days_and_in_other_orders():
    split = Split("key_hash", 0.2, 7)
    ids = list(range(5000))
    first = holdout(keyed(ids), ("id",), "day", split)
    assert abs(first.mean() - 0.2) < 0.02
    order = np.random.default_rng(1).permutation(5000)
    later = keyed([ids[i] for i in order] + ids, [DAY] * 5000 + [DAY + datetime.timedelta(1)] * 5000)
    second = holdout(later, ("id",), "day", split)
    np.testing.assert_array_equal(second[:5000], first[order])
    np.testing.assert_array_equal(second[5000:], first)
    other = holdout(keyed(ids), ("id",), "day", Split("key_hash", 0.2, 8))
    assert (other != first).mean() > 0.2, "the seed changes nothing"


def test_a_larger_holdout_contains_the_smaller_one():
    ids = list(range(2000))
    small = holdout(keyed(ids), ("id",), "day", Split("key_hash", 0.1, 7))
    large = holdout(keyed(ids), ("id",), "day", Split("key_hash", 0.3, 7))
    assert (large | ~small).all()


def test_by_time_the_latest_days_are_held_out():
    days = [DAY + datetime.timedelta(d) for d in (0, 0, 0, 0, 1, 1, 1, 2, 2, 2)]
    table = keyed(list(range(10)), days)
    assert holdout(table, (), "day", Split("time", 0.2, 7)).tolist() == [False] * 7 + [True] * 3
    assert holdout(table, (), "day", Split("time", 0.4, 7)).tolist() == [False] * 4 + [True] * 6
    assert holdout(table, (), "day", Split("time", 0.99, 7)).tolist() == [False] * 4 + [True] * 6


def test_one_day_cannot_be_split_by_time():
    with pytest.raises(DataError, match="one day.*2026-11-01"):
        holdout(keyed([1, 2, 3]), (), "day", Split("time", 0.2, 7))


def test_too_few_keys():
    with pytest.raises(DataError, match="leaves no (holdout|training) rows"):
        holdout(keyed([1]), ("id",), "day", Split("key_hash", 0.2, 7))
