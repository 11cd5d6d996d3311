"""Calls from several threads at the same time."""

import threading
from collections.abc import Callable


def errors_of(work: Callable[[], None], times: int, threads: int = 4) -> list[BaseException]:
    """Has threads do the work so many times each; returns what was raised, which ended a thread."""
    errors = []

    def repeat():
        try:
            for _ in range(times):
                work()
        except BaseException as error:
            errors.append(error)

    started = [threading.Thread(target=repeat) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return errors
