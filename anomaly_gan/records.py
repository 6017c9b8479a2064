"""The form of everything that is configured or stored."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Frozen, and strict about unknown keys, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
