"""Administrative acts: what people change beside DR events."""

from domain.administration.aggregate import (
    AdministrativeAct,
    api_key_act_id,
    migration_act_id,
    restore_act_id,
)
from domain.administration.events import ACTS_ON_DR_EVENTS, LostInterval, PersonalData, UtilityChange

__all__ = [
    "ACTS_ON_DR_EVENTS",
    "AdministrativeAct",
    "LostInterval",
    "PersonalData",
    "UtilityChange",
    "api_key_act_id",
    "migration_act_id",
    "restore_act_id",
]
