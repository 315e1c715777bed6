"""`picamera2:0`: which of the board's cameras."""

MAX_SENSORS = 4


def sensor_number(source: str) -> int:
    """The number in the address; `picamera2:` alone is the first one.

    Raises:
        ValueError: it is none.
    """
    _, _, number = source.partition(":")
    if number and not (number.isascii() and number.isdigit() and int(number) < MAX_SENSORS):
        raise ValueError(f"{number!r} is no camera; write picamera2:0, or picamera2:1 for the second one of a Pi 5")
    return int(number or 0)
