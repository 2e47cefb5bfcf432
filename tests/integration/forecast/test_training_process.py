"""Training runs in a child process: it holds up nobody, and its end is an error of one training."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from adapters.forecasting.training_process import ForecasterWithChild, TrainingEnded
from application.ports.forecast.load_forecaster import FacilityHistory, TooLittleHistory
from tests.contract.forecast.test_load_forecaster import START, history

AT = START + timedelta(days=60)
WITHIN_S = 60.0


@pytest.fixture
def forecaster() -> Iterator[ForecasterWithChild]:
    forecaster = ForecasterWithChild()
    yield forecaster
    forecaster.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def child_of(forecaster: ForecasterWithChild) -> int:
    assert forecaster.pid is not None
    return forecaster.pid


def begun(forecaster: ForecasterWithChild, past: FacilityHistory) -> tuple[threading.Thread, list[object]]:
    answers: list[object] = []

    def train() -> None:
        try:
            answers.append(forecaster.train_many([past], at=AT))
        except TrainingEnded as error:
            answers.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    return thread, answers


def test_one_child_trains_everything_and_errors_of_the_model_are_the_callers(
    forecaster: ForecasterWithChild,
) -> None:
    first = forecaster.train(history(42), at=AT)
    child = child_of(forecaster)
    assert child != os.getpid()
    assert forecaster.train(history(42), at=AT) == first
    assert child_of(forecaster) == child
    with pytest.raises(TooLittleHistory):
        forecaster.train(history(0.5), at=AT)
    assert child_of(forecaster) == child


def test_while_a_training_stands_still_this_process_computes_on(forecaster: ForecasterWithChild) -> None:
    model = forecaster.train(history(42), at=AT)
    child = child_of(forecaster)
    os.kill(child, signal.SIGSTOP)
    thread, answers = begun(forecaster, history(42))
    found = forecaster.forecast(
        model, history(42), starts_at=history(42).mean_kw.ends_at, steps=96, temperatures=None
    )
    assert found.p50_kw.shape == (96,)
    assert answers == []
    os.kill(child, signal.SIGCONT)
    thread.join(WITHIN_S)
    assert answers == [[model]]


def test_a_child_that_is_killed_fails_one_training_and_the_next_has_another(
    forecaster: ForecasterWithChild,
) -> None:
    model = forecaster.train(history(42), at=AT)
    child = child_of(forecaster)
    os.kill(child, signal.SIGSTOP)
    thread, answers = begun(forecaster, history(42))
    os.kill(child, signal.SIGKILL)
    thread.join(WITHIN_S)
    assert isinstance(answers[0], TrainingEnded)
    assert forecaster.train(history(42), at=AT) == model
    assert child_of(forecaster) != child


def test_closing_ends_a_training_that_is_under_way(forecaster: ForecasterWithChild) -> None:
    forecaster.train(history(42), at=AT)
    os.kill(child_of(forecaster), signal.SIGSTOP)
    thread, answers = begun(forecaster, history(42))
    forecaster.close()
    thread.join(WITHIN_S)
    assert isinstance(answers[0], TrainingEnded)
    with pytest.raises(TrainingEnded):
        forecaster.train(history(42), at=AT)


PARENT = """
import sys, time
from adapters.forecasting.training_process import ForecasterWithChild
from tests.contract.forecast.test_load_forecaster import START, history
forecaster = ForecasterWithChild()
if __name__ == "__main__":
    forecaster.train(history(42), at=START)
    print(forecaster.pid, flush=True)
    time.sleep(600)
"""


def test_the_child_of_a_process_that_is_killed_ends_too() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    parent.wait()
    until(lambda: not is_alive(child))
