"""Names of events and alarms, each with what it means; an alarm is raised once and cleared once."""

from enum import StrEnum


class EventName(StrEnum):
    """Stable names of `up/event` and `up/alarms`."""

    CAMERA_LOST = "camera-lost"
    """Alarm: the camera delivers no picture; `details` holds the cause."""
    RECORDER_UNAVAILABLE = "recorder-unavailable"
    """Alarm: the camera's recorder process does not answer."""
    PICTURE_BELOW_MINIMUM = "picture-below-minimum"
    """Alarm: the picture is below what the law asks of street scenes (704×576 at 12 frames a second)."""
    STORAGE_LOW = "storage-low"
    """Alarm: little space is left beyond what the ring gives up by itself."""
    STORAGE_ERROR = "storage-error"
    """Alarm: the storage refuses writes."""
    RETENTION_SHORT = "retention-short"
    """Alarm: at the present bit rate the ring holds less than the settings ask for (`min_age_h`)."""
    TEMPERATURE_HIGH = "temperature-high"
    """Alarm: the hottest sensor is near the limit at which boards throttle."""
    COMMAND_REFUSED = "command-refused"
    """Occurred: bodies that are no valid commands arrived; limited in rate, `details` counts the ones left out."""
    COMMAND_WAITING = "command-waiting"
    """Occurred, once a command: what it needs does not answer; it is tried again until its `exp`."""
    RECEIPT_REFUSED = "receipt-refused"
    """Occurred: a receipt was ignored; `details` says why."""
    EVENTS_LOST = "events-lost"
    """Occurred: events were left out while the unit was offline; `details` counts them."""
    LEDGER_REPLACED = "ledger-replaced"
    """Occurred: the link's database was damaged; it was set aside and a new one begun."""
    LEDGER_ROWS_DAMAGED = "ledger-rows-damaged"
    """Occurred: rows of the link's database could not be read and were set aside; `details` counts and names them."""
