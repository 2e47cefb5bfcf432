#!/usr/bin/env python3
"""Replace the processes of a system one by one; roll back if errors or latency exceed a limit.

    rollout.py replace plan.json --prometheus http://127.0.0.1:9090
    rollout.py watch --prometheus http://127.0.0.1:9090 --selector 'job="gridproof"'

`replace` runs the command of each process, waits until the process is ready, and then watches the error share and the
99th percentile of the latency, as Prometheus has them, of that process alone. If one exceeds its limit, or too few
requests came to judge by, every process that was replaced is rolled back, the last one first. `watch` does the second
half only: its exit status tells another tool, such as Helm, to roll back.

Exit status: 0 done, 1 the roll back failed too, 2 wrong usage, 3 a limit was exceeded (`replace`: and rolled back).

The plan is JSON. `instance` is the label of the process in Prometheus; without it, all processes are judged together:

    {"processes": [{
        "name": "web-1",
        "instance": "10.0.0.5:8081",
        "ready": "http://10.0.0.5:8080/ready",
        "replace": ["ssh", "host-1", "/usr/local/bin/gridproof-release web-1 0.2"],
        "roll_back": ["ssh", "host-1", "/usr/local/bin/gridproof-release web-1 0.1"]
    }]}

The commands are yours: the units of deploy/systemd run one release on a host. This needs the standard library only.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

DONE, NOT_ROLLED_BACK, WRONG_USAGE, LIMIT_EXCEEDED = 0, 1, 2, 3
ANSWER_WITHIN_S = 10.0
COMMAND_WITHIN_S = 900.0
"""For one command of the plan: a connection that hangs must not keep what was replaced from being judged."""
UNANSWERED_QUERIES = 3
"""After so many in a row nothing can be judged any more."""
SHORTEST_WINDOW_S = 5
MOST_BYTES = 1_000_000


class LimitExceeded(Exception):
    """The new process is not good enough; the text says why."""


class PrometheusUnavailable(Exception):
    """It did not answer the query."""


@dataclass(frozen=True)
class Limits:
    error_share: float
    """Answers of status 5xx, from 0 to 1."""
    p99_s: float
    least_requests: int
    """With fewer, a process cannot be judged."""
    watch_s: float
    every_s: float
    ready_within_s: float


@dataclass(frozen=True)
class Process:
    name: str
    replace: list[str]
    roll_back: list[str]
    ready: str | None = None
    instance: str | None = None


@dataclass(frozen=True)
class Figures:
    """Of the requests in a window."""

    requests: float
    error_share: float
    p99_s: float
    """NaN without requests."""

    def __str__(self) -> str:
        return f"{self.requests:.0f} requests, {self.error_share:.1%} errors, p99 {self.p99_s:.2f} s"


def read_plan(path: Path) -> list[Process]:
    """Raises ValueError."""
    try:
        found = [Process(**one) for one in json.loads(path.read_text(encoding="utf-8"))["processes"]]
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: {error}; its form is in `rollout.py --help`") from error
    for one in found:
        if not (_is_command(one.replace) and _is_command(one.roll_back)):
            raise ValueError(f"{path}: `replace` and `roll_back` of {one.name} are lists of words")
        if one.ready is not None and not str(one.ready).startswith(("http://", "https://")):
            raise ValueError(
                f"{path}: `ready` of {one.name} is an address that begins with http:// or https://"
            )
    if not found or len({one.name for one in found}) != len(found):
        raise ValueError(f"{path}: name at least one process, each once")
    return found


def _is_command(given: object) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(word, str) for word in given)


# ------------------------------------------------------------------------------------------------- Prometheus


def figures_of(prometheus: str, selector: str, window_s: int) -> Figures:
    """Raises PrometheusUnavailable."""
    sums = "sum(increase(gridproof_http_requests_total{%s}[%ds]))"
    requests = _query(prometheus, sums % (selector, window_s))
    errors = _query(prometheus, sums % (_both(selector, 'status=~"5.."'), window_s))
    buckets = f"sum by (le) (increase(gridproof_http_request_seconds_bucket{{{selector}}}[{window_s}s]))"
    p99_s = _query(prometheus, f"histogram_quantile(0.99, {buckets})")
    count = 0.0 if math.isnan(requests) else requests
    failed = 0.0 if math.isnan(errors) else errors
    return Figures(requests=count, error_share=failed / count if count else 0.0, p99_s=p99_s)


def _both(*matchers: str) -> str:
    return ",".join(one for one in matchers if one)


def _query(prometheus: str, query: str) -> float:
    """The value of a query with one result; NaN without any."""
    address = f"{prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(address, timeout=ANSWER_WITHIN_S) as answer:  # noqa: S310 - as the operator says
            result: list[dict[str, Any]] = json.loads(answer.read(MOST_BYTES))["data"]["result"]
            return float(result[0]["value"][1]) if result else math.nan
    except (OSError, HTTPException, ValueError, KeyError, IndexError, TypeError) as error:
        raise PrometheusUnavailable(f"{prometheus}: {error}") from error


def watch(prometheus: str, selector: str, limits: Limits) -> None:
    """Judge the requests from now on, for `watch_s`. Raises LimitExceeded."""
    began, unanswered, figures = time.monotonic(), 0, Figures(0.0, 0.0, math.nan)
    while (elapsed_s := time.monotonic() - began) < limits.watch_s:
        time.sleep(min(limits.every_s, limits.watch_s - elapsed_s))
        window_s = max(SHORTEST_WINDOW_S, int(time.monotonic() - began))
        try:
            figures, unanswered = figures_of(prometheus, selector, window_s), 0
        except PrometheusUnavailable as error:
            unanswered += 1
            if unanswered == UNANSWERED_QUERIES:
                raise LimitExceeded(
                    f"Prometheus does not answer, so nothing can be judged: {error}"
                ) from error
            continue
        say(f"  {figures}")
        check(figures, limits)
    if figures.requests < limits.least_requests:
        raise LimitExceeded(f"{figures}: too few to judge by, {limits.least_requests} are needed")


def check(figures: Figures, limits: Limits) -> None:
    """Raises LimitExceeded, once there are enough requests to judge by."""
    if figures.requests < max(1, limits.least_requests):
        return
    if figures.error_share > limits.error_share:
        raise LimitExceeded(f"{figures}: more than {limits.error_share:.1%} errors")
    if figures.p99_s > limits.p99_s:
        raise LimitExceeded(f"{figures}: p99 is over {limits.p99_s:g} s")


# -------------------------------------------------------------------------------------------------- processes


def replace(processes: list[Process], prometheus: str, selector: str, limits: Limits) -> int:
    """The exit status."""
    replaced: list[Process] = []
    for process in processes:
        say(f"replacing {process.name}")
        replaced.append(process)
        try:
            run(process.replace)
            wait_until_ready(process, limits.ready_within_s)
            own = "" if process.instance is None else f"instance={json.dumps(process.instance)}"
            watch(prometheus, _both(selector, own), limits)
        except (LimitExceeded, OSError, subprocess.SubprocessError) as error:
            say(f"{process.name}: {error}")
            return roll_back(replaced, limits)
    say(f"done: {len(replaced)} processes replaced")
    return DONE


def roll_back(replaced: list[Process], limits: Limits) -> int:
    """The last one first; one that fails does not keep the others. The exit status."""
    status = LIMIT_EXCEEDED
    for process in reversed(replaced):
        say(f"rolling back {process.name}")
        try:
            run(process.roll_back)
            wait_until_ready(process, limits.ready_within_s)
        except (LimitExceeded, OSError, subprocess.SubprocessError) as error:
            say(f"{process.name} was not rolled back: {error}; do it by hand: {' '.join(process.roll_back)}")
            status = NOT_ROLLED_BACK
    return status


def run(command: list[str]) -> None:
    """Raises OSError or SubprocessError, also for one that does not end."""
    subprocess.run(command, check=True, timeout=COMMAND_WITHIN_S)


def wait_until_ready(process: Process, within_s: float) -> None:
    """Until its readiness is 200. Raises LimitExceeded."""
    deadline = time.monotonic() + within_s
    while process.ready is not None:
        why: object
        try:
            with urllib.request.urlopen(process.ready, timeout=ANSWER_WITHIN_S):  # noqa: S310 - as the plan says
                return
        except (OSError, HTTPException) as error:  # also a status of 4xx or 5xx
            why = error
        if time.monotonic() > deadline:
            raise LimitExceeded(f"not ready within {within_s:g} s ({process.ready}: {why})")
        time.sleep(0.2)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("replace", "watch"):
        command = commands.add_parser(name)
        if name == "replace":
            command.add_argument("plan", type=Path)
        command.add_argument("--prometheus", required=True, help="its address, http://HOST:PORT")
        command.add_argument("--selector", default="", help='more label matchers, as job="gridproof"')
        command.add_argument("--max-error-share", type=float, default=0.01)
        command.add_argument("--max-p99-s", type=float, default=1.0)
        command.add_argument("--least-requests", type=int, default=20)
        command.add_argument("--watch-s", type=float, default=120.0, help="for each process")
        command.add_argument("--every-s", type=float, default=5.0)
        command.add_argument("--ready-within-s", type=float, default=120.0)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parsed(arguments)
    limits = Limits(
        error_share=options.max_error_share,
        p99_s=options.max_p99_s,
        least_requests=options.least_requests,
        watch_s=options.watch_s,
        every_s=options.every_s,
        ready_within_s=options.ready_within_s,
    )
    prometheus = options.prometheus.rstrip("/")
    if options.command == "replace":
        try:
            processes = read_plan(options.plan)
        except ValueError as error:
            sys.stderr.write(f"{error}\n")
            return WRONG_USAGE
        return replace(processes, prometheus, options.selector, limits)
    try:
        watch(prometheus, options.selector, limits)
    except LimitExceeded as error:
        say(str(error))
        return LIMIT_EXCEEDED
    return DONE


if __name__ == "__main__":
    sys.exit(main())
