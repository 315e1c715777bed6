"""What all tables of the settings have in common."""

from pydantic import BaseModel, ConfigDict


class SettingsTable(BaseModel):
    """One table: an unknown key is an error, and nothing changes after the start."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
