"""Administrative acts: what people change beside DR events."""

from domain.administration.aggregate import AdministrativeAct, api_key_act_id, migration_act_id
from domain.administration.events import ACTS_ON_DR_EVENTS, PersonalData, UtilityChange

__all__ = [
    "ACTS_ON_DR_EVENTS",
    "AdministrativeAct",
    "PersonalData",
    "UtilityChange",
    "api_key_act_id",
    "migration_act_id",
]
