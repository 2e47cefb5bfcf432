"""The stored form of a trained model: the parameters of one facility as a vector, of many as an array.

About 5,000 numbers of 4 bytes, half of them the last four weeks, so that a forecast needs only the readings since.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.calendar.local_week import HOURS_A_WEEK, IntArray
from adapters.forecasting.ensemble.conformal import PLACES, Spread
from adapters.forecasting.ensemble.fitted_batch import CANDIDATES, MIXTURES, MODES, FittedBatch
from adapters.forecasting.ensemble.weighting import SPANS_H
from adapters.forecasting.models.autoregression import LAGS_H
from adapters.forecasting.models.mean_models import MEMBERS, Means
from adapters.forecasting.models.normal_equations import Coefficients
from adapters.forecasting.models.residual_correction import BLOCKS, FEATURES, WINDOW_H
from adapters.forecasting.models.temperature_columns import DENSE, QUANTILES, Climate
from domain.event_sourcing.decoders import msgpack_decoder
from domain.time_series.windows import FloatArray

QUARTERS_A_DAY = 96
_MEMBER_DENSE = tuple(DENSE if kind.weather else 1 for kind in MEMBERS)

LAYOUT: dict[str, tuple[int, ...]] = {
    "knots_c": (len(QUANTILES),),
    "occupied": (HOURS_A_WEEK,),
    "climate_known": (1,),
    **{f"week_{member}": (HOURS_A_WEEK,) for member in range(len(MEMBERS))},
    **{f"dense_{member}": (count,) for member, count in enumerate(_MEMBER_DENSE)},
    "lag_week": (HOURS_A_WEEK,),
    "lag_dense": (len(LAGS_H) + DENSE,),
    "corrections": (len(MEMBERS), len(BLOCKS), FEATURES),
    "weights": (MIXTURES, len(CANDIDATES), len(SPANS_H)),
    "scale_kw": (MODES, PLACES),
    "quantiles": (MODES, len(BLOCKS), 2),
    "within_hour_kw": (2 * QUARTERS_A_DAY,),
    "within_hour_sd_kw": (PLACES,),
    "reach_kw": (2,),
    "believed_kw": (2,),
    "smooth_c": (1,),
}
"""Name -> shape, in the stored order; the past follows."""
PAST = (1 + len(MEMBERS), WINDOW_H)
"""The last four weeks: load, and residuals of every member."""
NUMBERS = sum(int(np.prod(shape)) for shape in LAYOUT.values())
SIZE = NUMBERS + int(np.prod(PAST))


class StoredParameters(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The stored parameters of one facility."""

    layout: int
    ends_hour: int
    """Hours since 1970, UTC: the end of the past."""
    is_model: bool
    """Whether the models are used, or the naive methods alone."""
    values: memoryview
    """float32, little-endian, in the order of LAYOUT, then PAST; after decoding a view of the encoded bytes."""


LAYOUT_VERSION = 3
_DECODER = msgpack_decoder(StoredParameters)


class UnsupportedLayout(ValueError):
    """The parameters were stored by another release; train anew."""


class Block(NamedTuple):
    """The parameters of several facilities."""

    values: dict[str, FloatArray]
    """Name -> shape (facilities, *LAYOUT[name])."""
    past_kw: Sequence[NDArray[np.floating[Any]]]
    """For each facility in the shape PAST: the largest part, so a view of the stored bytes; NaN where unknown."""
    ends_hour: tuple[int, ...]
    is_model: tuple[bool, ...]

    def fitted_batch(self, rows: IntArray | slice = slice(None)) -> FittedBatch:
        """The fitted batch of some rows."""
        own = {name: values[rows] for name, values in self.values.items()}
        spreads = tuple(Spread(own["scale_kw"][:, mode], own["quantiles"][:, mode]) for mode in range(MODES))
        return FittedBatch(
            climate=Climate(own["knots_c"], own["occupied"], own["climate_known"][:, 0]),
            means=Means(
                tuple(Coefficients(own[f"week_{i}"], own[f"dense_{i}"]) for i in range(len(MEMBERS)))
            ),
            autoregression=Coefficients(own["lag_week"], own["lag_dense"]),
            corrections=own["corrections"].swapaxes(0, 1),
            weights=own["weights"].transpose(1, 2, 0, 3),
            spreads=spreads,
        )


def values_of(fitted_batch: FittedBatch) -> dict[str, FloatArray]:
    """The values of LAYOUT that come from `fitted_batch`."""
    return {
        "knots_c": fitted_batch.climate.knots_c,
        "occupied": fitted_batch.climate.occupied,
        "climate_known": fitted_batch.climate.known[:, None],
        **{f"week_{i}": one.week for i, one in enumerate(fitted_batch.means.members)},
        **{f"dense_{i}": one.dense for i, one in enumerate(fitted_batch.means.members)},
        "lag_week": fitted_batch.autoregression.week,
        "lag_dense": fitted_batch.autoregression.dense,
        "corrections": fitted_batch.corrections.swapaxes(0, 1),
        "weights": fitted_batch.weights.transpose(2, 0, 1, 3),
        "scale_kw": np.stack([spread.scale_kw for spread in fitted_batch.spreads], axis=1),
        "quantiles": np.stack([spread.quantiles for spread in fitted_batch.spreads], axis=1),
    }


def packed(block: Block) -> list[bytes]:
    """The stored parameters of each facility."""
    count = len(block.ends_hour)
    parts = [*(block.values[name] for name in LAYOUT), np.stack(block.past_kw)]
    rows = np.concatenate([part.reshape(count, -1) for part in parts], axis=1).astype("<f4")
    return [
        msgspec.msgpack.encode(
            StoredParameters(
                layout=LAYOUT_VERSION,
                ends_hour=ends_hour,
                is_model=is_model,
                values=memoryview(row.tobytes()),
            )
        )
        for row, ends_hour, is_model in zip(rows, block.ends_hour, block.is_model, strict=True)
    ]


def is_of_this_layout(parameters: bytes) -> bool:
    try:
        return _fits(_DECODER.decode(parameters))
    except msgspec.DecodeError:
        return False


def _fits(stored: StoredParameters) -> bool:
    return stored.layout == LAYOUT_VERSION and stored.values.nbytes == 4 * SIZE


def unpacked(parameters: list[bytes]) -> Block:
    """Raises UnsupportedLayout."""
    stored = [_DECODER.decode(one) for one in parameters]
    if not all(map(_fits, stored)):
        raise UnsupportedLayout("the parameters of a model are of another release; train it anew")
    table, past_kw = np.empty((len(stored), NUMBERS)), []
    for row, one in enumerate(stored):
        numbers = np.frombuffer(one.values, dtype="<f4")
        table[row] = numbers[:NUMBERS]
        past_kw.append(numbers[NUMBERS:].reshape(PAST))
    values, first = {}, 0
    for name, shape in LAYOUT.items():
        size = int(np.prod(shape))
        values[name] = table[:, first : first + size].reshape(len(stored), *shape)
        first += size
    return Block(
        values, past_kw, tuple(one.ends_hour for one in stored), tuple(one.is_model for one in stored)
    )
