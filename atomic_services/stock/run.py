"""The stock service: its operations, each a few statements in the transaction of its calls."""

from atomic_services.contract import AtomicService, Operation
from atomic_services.stock.adjusting import adjust, adjust_together
from atomic_services.stock.availability import availability
from atomic_services.stock.configure import configure
from atomic_services.stock.ending import (
    confirm,
    confirm_together,
    extend,
    extend_together,
    release,
    release_together,
)
from atomic_services.stock.movements import movements
from atomic_services.stock.replenish import replenish
from atomic_services.stock.reserve import reserve, reserve_together
from atomic_services.stock.schema import (
    AdjustRequest,
    AvailabilityReply,
    AvailabilityRequest,
    ConfigureReply,
    ConfigureRequest,
    ConfirmRequest,
    ExpectReply,
    ExpectRequest,
    ExtendRequest,
    LevelReply,
    MovementsReply,
    MovementsRequest,
    ReleaseRequest,
    ReplenishReply,
    ReplenishRequest,
    ReservationReply,
    ReserveRequest,
)
from atomic_services.stock.supplies import expect
from atomic_services.stock.sweep import sweep

SERVICE = AtomicService(
    name="stock",
    operations={
        "configure": Operation(ConfigureRequest, ConfigureReply, configure),
        "expect": Operation(ExpectRequest, ExpectReply, expect),
        "adjust": Operation(AdjustRequest, LevelReply, adjust, adjust_together),
        "availability": Operation(AvailabilityRequest, AvailabilityReply, availability),
        "reserve": Operation(ReserveRequest, ReservationReply, reserve, reserve_together),
        "confirm": Operation(ConfirmRequest, ReservationReply, confirm, confirm_together),
        "release": Operation(ReleaseRequest, ReservationReply, release, release_together),
        "extend": Operation(ExtendRequest, ReservationReply, extend, extend_together),
        "movements": Operation(MovementsRequest, MovementsReply, movements),
        "replenish": Operation(ReplenishRequest, ReplenishReply, replenish),
    },
    sweep=sweep,
)
