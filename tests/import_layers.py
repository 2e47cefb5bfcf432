"""What each import said, in memory, as adapters/postgres/telemetry/import_layers.py has it."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple
from uuid import UUID

import numpy as np

Key = tuple[str, int, int]
"""Facility, start in Unix seconds, step."""
Value = tuple[float, float]
"""Mean kW and temperature, NaN where unknown."""
NAN = float("nan")


class Layer(NamedTuple):
    import_id: UUID | None
    values: Mapping[Key, Value]


class ImportLayers:
    """`stored` are the rows that readers see."""

    def __init__(self, stored: dict[Key, Value]) -> None:
        self.stored = stored
        self.layers: list[Layer] = []
        self.open_imports: set[UUID] = set()

    def put(self, import_id: UUID, values: Mapping[Key, Value]) -> None:
        self._keep_unsaid(values)
        for facility_id in sorted({key[0] for key in values}):
            self.layers.append(
                Layer(import_id, {key: value for key, value in values.items() if key[0] == facility_id})
            )

    def of(self, import_id: UUID, facility_id: str) -> Iterator[Layer]:
        """The layers of an import over a facility, the newest first, as they are removed."""
        for layer in reversed(list(self.layers)):
            if layer.import_id == import_id and any(key[0] == facility_id for key in layer.values):
                yield layer

    def remove(self, layer: Layer) -> tuple[int, int]:
        """The number of rows that are gone, and of those that have another value."""
        self._keep_unsaid(layer.values)
        self.layers = [one for one in self.layers if one is not layer]
        said, removed, restored = self._said(layer.values), 0, 0
        for key in layer.values:
            if key not in said:
                removed += self.stored.pop(key, None) is not None
            elif key in self.stored and not _same(self.stored[key], said[key]):
                self.stored[key] = said[key]
                restored += 1
        return removed, restored

    def _said(self, keys: Collection[Key]) -> dict[Key, Value]:
        said: dict[Key, Value] = {}
        for layer in self.layers:
            for key in keys:
                if key in layer.values:
                    said[key] = over(layer.values[key], said.get(key, (NAN, NAN)))
        return said

    def _keep_unsaid(self, keys: Collection[Key]) -> None:
        said = self._said(keys)
        unsaid = {
            key: self._unsaid(self.stored[key], said.get(key))
            for key in keys
            if key in self.stored and (key not in said or not _same(self.stored[key], said[key]))
        }
        if unsaid:
            self.layers.append(Layer(None, unsaid))

    def _unsaid(self, stored: Value, said: Value | None) -> Value:
        if said is None:
            return stored
        kw, temp_c = (NAN if _same(one, other) else one for one, other in zip(stored, said, strict=True))
        return kw, temp_c


def over(value: Value, below: Value) -> Value:
    """The known ones of `value`, and else of what is below it."""
    kw, temp_c = (one if np.isfinite(one) else other for one, other in zip(value, below, strict=True))
    return float(kw), float(temp_c)


def _same(one: float | Value, other: float | Value) -> bool:
    return np.array_equal(one, other, equal_nan=True)
