"""Work in threads: in order, never too much at a time, and nothing left behind."""

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from etl.pipeline.overlapping import overlapped


class OutOfOrderError(Exception):
    pass


def returned(value: int) -> int:
    return value


def failing(value: int) -> int:
    raise OutOfOrderError(value)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("overlapped")]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_results_come_in_the_order_of_the_calls_whichever_is_done_first(count: int) -> None:
    last = threading.Event()

    def wait_for_the_last(number: int) -> int:
        if count > 1 and number == 0:
            assert last.wait(60)
        if number == count - 1:
            last.set()
        return number

    assert list(overlapped((partial(wait_for_the_last, number) for number in range(20)), count)) == [
        *range(20)
    ]
    assert threads() == []


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_next_call_is_fetched_while_one_is_made_but_never_many_ahead(count: int) -> None:
    fetched_next, waiting, most = threading.Event(), 0, 0

    def wait_for_the_next() -> int:
        assert fetched_next.wait(60)
        return 0

    def calls() -> Iterator[Callable[[], int]]:
        nonlocal waiting, most
        for number in range(20):
            waiting += 1
            most = max(most, waiting)
            if number == 1:
                fetched_next.set()
            yield wait_for_the_next

    for _ in overlapped(calls(), count):
        waiting -= 1

    assert 2 <= most <= max(count, 2) + 1


@pytest.mark.parametrize("count", [1, 3, 8])
def test_as_many_calls_are_made_at_a_time_as_are_asked_for(count: int) -> None:
    all_there = threading.Barrier(count)

    def wait_for_the_others() -> int:
        all_there.wait(30)
        return threading.get_ident()

    made_by = list(overlapped(iter([wait_for_the_others] * 2 * count), count))

    assert len(set(made_by)) == count


def test_a_call_that_fails_is_told_after_the_results_before_it() -> None:
    calls = [partial(returned, 0), partial(returned, 1), partial(failing, 2), partial(returned, 3)]
    results: list[int] = []

    with pytest.raises(OutOfOrderError, match="2"):
        results.extend(overlapped(iter(calls), 2))

    assert results == [0, 1]
    assert threads() == []


def test_a_source_that_fails_is_told_after_the_results_of_what_it_gave() -> None:
    def calls() -> Iterator[Callable[[], int]]:
        yield partial(returned, 0)
        yield partial(returned, 1)
        raise OutOfOrderError("the source")

    results: list[int] = []

    with pytest.raises(OutOfOrderError, match="the source"):
        results.extend(overlapped(calls(), 4))

    assert results == [0, 1]


def test_what_is_closed_early_fetches_no_more_and_leaves_no_thread() -> None:
    source = iter([partial(returned, number) for number in range(100)])
    results = overlapped(source, 4)

    assert next(results) == 0
    results.close()

    assert threads() == []
    assert len(list(source)) >= 94
