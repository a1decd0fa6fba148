"""Work spread over threads whose results come back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Made = TypeVar("Made")


def in_order(
    pool: ThreadPoolExecutor, make: Callable[[Task], Made], tasks: Iterable[Task], ahead: int
) -> Generator[Made]:
    """Maps `make` over `tasks` in the pool, in order, with at most `ahead` results waiting."""
    waiting: deque[Future[Made]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(make, task))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
