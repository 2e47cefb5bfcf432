"""The simulated climate: the temperature as a pure function of cell and time."""

from datetime import datetime
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MEAN_C = 23.0
DAILY_SWING_C = 6.0
WARMEST_HOUR_UTC = 23.0
"""15:00 in California, where the demo's buildings stand."""
DAY_S = 86_400


def seed_of(*names: str) -> int:
    """A 63-bit seed that is the same in every process, unlike `hash`."""
    return int.from_bytes(sha256("/".join(names).encode()).digest()[:8], "big") >> 1


def smooth_noise(seed: int, epoch_s: Floats, step_s: float) -> Floats:
    """Values in -1 .. 1 for any times: a hash gives one every `step_s`, with linear interpolation in between."""
    position = epoch_s / step_s
    left = np.floor(position)
    share = position - left
    return _hashed(seed, left) * (1.0 - share) + _hashed(seed, left + 1.0) * share


def _hashed(seed: int, index: Floats) -> Floats:
    # splitmix64 (Steele, Lea, Flood 2014), on wrapping unsigned integers.
    mixed = index.astype(np.int64).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray(mixed.astype(np.float64) / 2**63 - 1.0)


class Climate:
    """Outdoor temperature of a weather cell: a daily swing on slowly changing weather."""

    def __init__(self, cell: str) -> None:
        self._seed = seed_of("climate", cell)
        self._mean_c = MEAN_C + (self._seed % 5) - 2.0

    def temperatures_c(self, epoch_s: Floats) -> Floats:
        """The temperature at each time, given as seconds since 1970."""
        hour = (epoch_s % DAY_S) / 3600.0
        daily = DAILY_SWING_C * np.cos((hour - WARMEST_HOUR_UTC) * np.pi / 12.0)
        weather = 3.0 * smooth_noise(self._seed, epoch_s, 2.0 * DAY_S)
        return np.asarray(self._mean_c + daily + weather)

    def temperature_c(self, at: datetime) -> float:
        return float(self.temperatures_c(np.array([at.timestamp()]))[0])
