"""A bounded cache keeps the most recently used entries within its size and lifetime, and counts look-ups."""

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from application.bounded_cache import BoundedCache, CacheCounts, cache_counts


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(
    used=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 40), st.booleans()), max_size=60),
    most=st.integers(0, 100),
    most_entries=st.integers(1, 4),
)
def test_the_most_recently_used_entries_stay_within_both_limits(
    used: list[tuple[int, int, bool]], most: int, most_entries: int
) -> None:
    """Compared with a model. A step puts or gets an entry; its value is its size."""
    cache = BoundedCache[int, int](
        "tested", max_size=most, size_of=lambda size: size, max_entries=most_entries
    )
    model: OrderedDict[int, int] = OrderedDict()
    for key, size, is_put in used:
        if is_put:
            cache.put(key, size)
            before = model.pop(key, None)
            if size <= most:
                if before is not None:  # replaced in its place: it is the first to go, if it was the oldest
                    model[key] = 0
                while model and sum(model.values()) + size > most:
                    model.popitem(last=False)
                model[key] = size
            while len(model) > most_entries:
                model.popitem(last=False)
        else:
            assert cache.get(key) == model.get(key)
            if key in model:
                model.move_to_end(key)
    assert dict(cache.items()) == dict(model)
    assert cache.counts().size == sum(model.values()) <= most


def test_an_entry_is_absent_after_its_lifetime_and_lives_again_once_it_is_put() -> None:
    seconds = Seconds()
    cache = BoundedCache[str, str]("tested", max_size=10, ttl_s=5.0, monotonic=seconds)
    cache.put("a", "first")
    seconds.now = 4.9
    assert cache.get("a") == "first"
    seconds.now = 5.0
    assert (cache.get("a"), "a" in cache, cache.items(), len(cache)) == (None, False, [], 0)
    cache.put("a", "second")
    seconds.now = 9.9
    assert (cache.get("a"), "a" in cache) == ("second", True)


def test_a_value_larger_than_the_cache_replaces_its_entry_by_none() -> None:
    cache = BoundedCache[str, bytes]("tested", max_size=10, size_of=len)
    cache.put("other", b"12345")
    cache.put("a", b"12345")
    cache.put("a", b"12345678901")
    assert cache.items() == [("other", b"12345")]


def test_reading_all_entries_or_looking_for_one_does_not_change_which_goes_first() -> None:
    cache = BoundedCache[str, int]("tested", max_size=2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.items() == [("a", 1), ("b", 2)]
    assert "a" in cache
    cache.put("c", 3)
    assert cache.get_all(["a", "b", "c"]) == [None, 2, 3]
    assert (cache.pop("b"), cache.pop("b")) == (2, None)
    cache.clear()
    assert len(cache) == 0


def test_look_ups_are_counted_over_all_caches_of_a_name() -> None:
    first, second = (BoundedCache[str, int]("tested counts", max_size=5) for _ in range(2))
    first.put("a", 1)
    second.put("a", 1)
    second.put("b", 2)
    assert first.get("a") == 1
    assert first.get("b") is None
    assert second.get_all(["a", "b", "c"]) == [1, 2, None]
    assert "a" in second
    assert cache_counts()["tested counts"] == CacheCounts(size=3, hits=4, misses=2)
    del second
    assert cache_counts()["tested counts"] == CacheCounts(size=1, hits=1, misses=1)


def test_many_threads_may_use_one_cache() -> None:
    seconds = Seconds()
    cache = BoundedCache[int, int]("tested", max_size=50, ttl_s=100.0, monotonic=seconds)

    def use(first: int) -> None:
        for number in range(first, first + 2_000):
            cache.put(number % 97, number)
            cache.get((number * 7) % 97)
            cache.pop((number * 13) % 97)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(use, range(0, 400, 100)))
    assert len(cache) == len(cache.items()) <= 50
