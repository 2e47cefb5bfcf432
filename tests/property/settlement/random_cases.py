"""Random rules, DR events and readings, as program.json and event.json: every member of the structure, each of its
alternatives, values on the edges of the roundings. A case is its number, so that one is found again.
"""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from tests.property.settlement.plain_arithmetic import Json
from tests.property.settlement.plain_settlement import Steps

CURRENCIES = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3, "UYW": 4}
KINDS = ("event", "event", "event", "test", "voluntary", "unplanned")
ZONES = ("UTC", "America/New_York", "Asia/Tokyo", "Pacific/Auckland")
STEPS_S = (60, 300, 900, 900, 900, 1800)


class Case(NamedTuple):
    """A program, DR events of its season with their steps, and a second version of the first of them."""

    program: Json
    events: list[tuple[Json, Steps]]
    step_s: int
    period: str
    later: tuple[Json, Json, Steps]
    """Another program, event and steps: what a resettlement of the first event is made from."""


def case_of(number: int) -> Case:
    draw = _Draw(number)
    step_s = draw.choice(STEPS_S)
    program = draw.program(step_s)
    events = [draw.ended(program, step_s) for _ in range(draw.choice((1, 1, 1, 2, 4)))]
    later = draw.amended(program, *events[0], step_s)
    return Case(program, events, step_s, draw.choice(("2026-07", "2026-08", "2026-06/2026-09")), later)


class _Draw(Random):
    """Values of a case, one after the other."""

    def often(self, share: float = 0.5) -> bool:
        return self.random() < share

    def decimal(self, low: float, high: float, places: int = 3) -> str:
        """A decimal, with fewer places in half of the cases: ties are frequent then."""
        return f"{self.uniform(low, high):.{self.choice((0, 1, 2, places, places))}f}"

    def some(self, **members: object) -> Json:
        """Some of the members; a value that can be called is drawn only when it is there."""
        return {name: self.value(value) for name, value in members.items() if self.often()}

    def value(self, value: object) -> object:
        return value() if callable(value) else self.choice(value) if isinstance(value, tuple) else value

    def tiers(self) -> list[Json]:
        begins = sorted({self.decimal(0, 1.3, 2) for _ in range(self.randint(1, 4))}, key=float)
        distinct = [one for number, one in enumerate(begins) if float(one) not in map(float, begins[:number])]
        return [
            {"from": one, "a": self.decimal(-1, 1, 2), "b": self.choice(("0", "1", self.decimal(0, 2, 3)))}
            for one in distinct
        ]

    def capacity(self) -> Json | None:
        if self.often(0.2):
            return None
        found = {"rate": self.decimal(0, 30, 4), "unit": self.choice(("kw-event", "kw-hour"))}
        return found | self.some(
            quantity=("committed", "delivered"), tiers=lambda: self.choice((None, self.tiers()))
        )

    def capacity_of_period(self) -> Json:
        raising = [{"event": number, "rate": self.decimal(0, 30, 4)} for number in (2, 4)]
        found = {"rate": self.decimal(0, 30, 4), "unit": self.choice(("kw-day", "kw-month", "kw-season"))}
        return found | self.some(
            quantity=("committed", "delivered"),
            tiers=lambda: self.choice((None, self.tiers())),
            no_event_factor=("0", "1", "0.5"),
            from_event=raising,
        )

    def energy(self) -> Json | None:
        if self.often(0.2):
            return None
        if self.often(0.3):
            found: Json = {"price": "event"} | self.some(min_price=("0.03", "0", "0.1"))
        else:
            found = {"rate": self.choice(("0.005", "1.5", self.decimal(0, 3, 5)))}
        return found | self.some(tiers=lambda: self.choice((None, self.tiers())))

    def penalty(self) -> Json | None:
        if self.often(0.3):
            return None
        return {"rate": self.decimal(0, 3, 4)} | self.some(
            threshold=("0", "1", "0.9", "1.255"), max_per_event=("0", "20", "200.555")
        )

    def limits(self) -> Json:
        least = self.choice((None, "0", self.decimal(-50, 50)))
        most = self.choice((None, str(float(least or 0) + self.randint(0, 300))))
        return self.some(event_min=least, event_max=most)

    def members(self) -> Json:
        """Those that a kind may replace."""
        delivered = {"floor": ("none", "interval", "event"), "cap_ratio": (None, "1", "1.2", "0.333")}
        performance = {"per": ("event", "interval"), "places": (0, 2, 4, 6), "min": ("0", "-1", "0.1")}
        return self.some(
            delivered=lambda: self.some(**delivered, export=("counts", "to_zero")),
            missing=lambda: self.some(**{"as": ("exclude", "zero")}, min_coverage=("0", "0.5", "0.75", "1")),
            results=lambda: self.some(opted_out=("excused", "zero"), failed=("excused", "zero")),
            performance=lambda: self.some(**performance, max=(None, "1", "1.05")),
            minimum_performance=(None, "0.5", "0.75"),
            capacity=self.capacity,
            energy=self.energy,
            penalty=self.penalty,
            limits=self.limits,
            share=lambda: self.choice(("1", "0.8", self.decimal(0, 1, 3))),
        )

    def program(self, step_s: int) -> Json:
        currency = self.choice(tuple(CURRENCIES))
        nullable = (
            "delivered",
            "missing",
            "results",
            "performance",
            "limits",
            "capacity",
            "energy",
            "penalty",
        )
        null = dict.fromkeys(name for name in nullable if self.often(0.3))
        rule = self.members() | {"schema": "settlement-rule/1", "currency": currency}
        if self.often(0.4):
            rule["capacity"] = self.capacity_of_period()
        rule["kinds"] = {kind: self.members() | self.some(**null) for kind in KINDS[3:] if self.often(0.9)}
        rule["interval_s"] = step_s * self.choice((1, 2, 3, 4, 4, 7))
        rule["minor_unit"] = CURRENCIES[currency]
        rule |= self.some(
            rounding=("half_up", "half_even"),
            level=("facility", "portfolio"),
            allocation=("delivered", "committed"),
        )
        enrolments = {f"f{number}": self.decimal(0, 300) for number in range(4) if self.often(0.9)}
        return {"program_id": "p", "version": 1, "settlement": rule, "enrolments": enrolments}

    def ended(self, program: Json, step_s: int) -> tuple[Json, Steps]:
        day = datetime(2026, self.choice((6, 7, 7, 7, 8)), self.randint(1, 31 - 1), tzinfo=UTC)
        starts_at = day + timedelta(seconds=step_s * self.randint(0, 86_400 // step_s))
        if self.often(0.3):
            starts_at += timedelta(seconds=self.choice((1, 60, step_s / 2, 0.25)))
        ends_at = starts_at + timedelta(seconds=step_s * self.randint(1, 14) + self.choice((0, 0, 60)))
        status = self.choice(("completed",) * 8 + ("cancelled", "cancelled_while_active"))
        facilities = [self.facility(name, starts_at, ends_at) for name in self.names()]
        found: Json = {
            "dr_event_id": f"event-{self.random()}",
            "program_id": "p",
            "kind": self.choice(KINDS),
            "status": status,
            "starts_at": starts_at.isoformat(),
            "ends_at": ends_at.isoformat(),
            "facilities": facilities,
        }
        if status != "completed":
            found["ended_at"] = self.between(starts_at, ends_at).isoformat()
        found["prices"] = self.prices(program, starts_at, ends_at, step_s)
        steps = {one["facility_id"]: self.readings(starts_at, ends_at, step_s) for one in facilities}
        return found, steps

    def names(self) -> list[str]:
        names = [f"f{number}" for number in range(self.choice((0, 1, 1, 2, 3, 5)))]
        self.shuffle(names)
        return names

    def between(self, starts_at: datetime, ends_at: datetime) -> datetime:
        """A moment around the window, half of them on a whole minute."""
        at = starts_at + (ends_at - starts_at) * self.uniform(-0.1, 1.1)
        return at.replace(second=0, microsecond=0) if self.often() else at

    def facility(self, name: str, starts_at: datetime, ends_at: datetime) -> Json:
        result = self.choice(("committed",) * 6 + ("opted_out", "opted_out", "failed", "excused"))
        committed = self.choice(("0", "100", self.decimal(0, 200), self.decimal(0, 200, 5)))
        found: Json = {"facility_id": name, "tz": self.choice(ZONES), "result": result}
        found["committed_kw"] = committed
        if result == "opted_out" and self.often(0.8):
            found["opted_out_at"] = self.between(starts_at, ends_at).isoformat()
        if self.often(0.2):
            found["commitments"] = [
                {"from": self.between(starts_at, ends_at).isoformat(), "kw": self.decimal(0, 200)}
                for _ in range(self.randint(1, 3))
            ]
        if self.often(0.2):
            found["starts_at"] = self.between(starts_at, ends_at).isoformat()
        if self.often(0.2):
            found["ends_at"] = self.between(starts_at, ends_at).isoformat()
        return found

    def prices(self, program: Json, starts_at: datetime, ends_at: datetime, step_s: int) -> list[Json]:
        epoch, step = datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=step_s)
        at, found = epoch + -((epoch - starts_at) // step) * step, []
        while at < ends_at:
            price = self.choice(("0.03", "0.025", self.decimal(-0.05, 0.4, 5)))
            if self.often(0.98):
                found.append({"starts_at": at.isoformat(), "per_kwh": price})
            at += timedelta(seconds=program["settlement"]["interval_s"])
        return found

    def readings(self, starts_at: datetime, ends_at: datetime, step_s: int) -> list[Json]:
        """Of the window and a step around it; some unknown, some of a facility without baseline or meter."""
        known, metered = self.choice((1, 1, 1, 0.8, 0.3)), not self.often(0.05)
        explained, base = not self.often(0.05), self.choice((500.0, 20.0, self.uniform(-5, 900)))
        epoch, step = datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=step_s)
        at, found = epoch + (starts_at - epoch) // step * step, []
        while at < ends_at + step:
            adjusted = self.decimal(base, base + 30) if explained and self.often(0.5 + known) else None
            kw = self.decimal(base - 130, base + 20) if metered and self.often(known) else None
            if self.often(0.98):
                found.append({"starts_at": at.isoformat(), "adjusted_kw": adjusted, "metered_kw": kw})
            at += step
        return found

    def amended(self, program: Json, dr_event: Json, steps: Steps, step_s: int) -> tuple[Json, Json, Steps]:
        """Another version of the rule, of the event, of the baselines or of the meter, or of several."""
        if self.often(0.4):
            rule = program["settlement"] | self.members()
            program = program | {"settlement": rule}
        if self.often(0.4):
            ends_at = datetime.fromisoformat(dr_event["ends_at"]) - timedelta(
                seconds=self.randint(0, 3) * step_s
            )
            facilities = [one | {"committed_kw": self.decimal(0, 200)} for one in dr_event["facilities"]]
            dr_event = dr_event | {"facilities": facilities}
            if ends_at > datetime.fromisoformat(dr_event["starts_at"]):
                dr_event["ends_at"] = ends_at.isoformat()
        for member in ("adjusted_kw", "metered_kw"):
            if self.often(0.4):
                steps = {
                    name: [one | {member: self.decimal(0, 500)} if self.often(0.3) else one for one in own]
                    for name, own in steps.items()
                }
        return program, dr_event, steps
