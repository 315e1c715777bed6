"""One table of all figures of `up/health`: where each comes from, when it is bad, and what a technician does then.

`docs/health.md` is written from it (`health.reference`). A figure at the edge does not flap: it has to come back by
its slack, and both ways have to last.
"""

from collections.abc import Mapping
from functools import cache

from edge_agent.contract.event_names import EventName
from edge_agent.health.limits import HOUR_S, MINUTE_S, Condition, Figure, Owner, Threshold

FIGURES: tuple[Figure, ...] = (
    # -- each camera
    Figure("frames_per_second", "camera", "1/s", "pictures that came in the last 10 s, counted by the recorder"),
    Figure(
        "expected_frames_per_second",
        "camera",
        "1/s",
        "`fps` where it is asked of the source (of a drawn scene 25 without); else the rate that four fifths of the"
        " last week's hours reached",
    ),
    Figure(
        "frame_rate_share",
        "camera",
        "1",
        "pictures of the last minute over those expected",
        Threshold(
            0.4,
            0.1,
            0.15,
            low_is_bad=True,
            rises_after_s=30.0,
            falls_after_s=2 * MINUTE_S,
            alarm=EventName.FRAME_RATE_LOW,
        ),
        "look at the camera's own frame rate, its shutter at night, its network cable; a rate that is meant becomes"
        " the expected one by itself within two days",
    ),
    Figure("bitrate_kbps", "camera", "kbit/s", "bytes that came in the last 10 s"),
    Figure("bitrate_day_kbps", "camera", "kbit/s", "mean of the last 24 hours, as far as the link saw them"),
    Figure("last_frame_age_s", "camera", "s", "monotonic clock since the newest picture"),
    Figure("dropped_units", "camera", "pictures", "left out since the recorder's start: the disk could not keep up"),
    Figure(
        "dropped_share",
        "camera",
        "1",
        "of the pictures of the last 10 min, those left out",
        Threshold(0.01, 0.1, 0.005, falls_after_s=10 * MINUTE_S, alarm=EventName.FRAMES_DROPPED),
        "see the storage's sync times; lower the camera's bit rate, or replace a worn card",
    ),
    Figure("stream_restarts", "camera", "times", "streams begun since the recorder's start, less the first"),
    Figure(
        "stream_restarts_last_hour",
        "camera",
        "times",
        "how often the stream began anew within an hour",
        Threshold(6, 30, 3, alarm=EventName.CAMERA_UNSTABLE),
        "look at the camera's power supply, cable and switch",
    ),
    Figure("encoder", "camera", "name", "who encodes, where the unit does it itself"),
    Figure(
        "encoder_failures_last_hour",
        "camera",
        "times",
        "how often an encoder failed or hung within an hour; the next in line takes over",
        Threshold(1, 4, 0, alarm=EventName.ENCODER_FAILED),
        "read `encoder_fault`; take an encoder that fails again and again out of `camera.encoder.order`",
    ),
    Figure("encoder_fault", "camera", "text", "why the last one failed"),
    Figure(
        "unmasked_pictures",
        "camera",
        "pictures",
        "not recorded because their masks could not be drawn, since the recorder's start",
    ),
    Figure("mean_luma", "camera", "16–235", "brightness of the last picture that was looked at; black is 16"),
    # -- storage
    Figure("free_bytes", "storage", "bytes", "statvfs(3), `f_bavail`, of `data_dir`"),
    Figure("total_bytes", "storage", "bytes", "statvfs(3), `f_blocks`"),
    Figure(
        "reserve_share",
        "storage",
        "1",
        "free space over what the rings keep free (`min_free_bytes`, at least 100 MB)",
        # A ring that fills its disk keeps this at 1; it falls when something else takes the space.
        Threshold(
            0.8,
            0.4,
            0.1,
            low_is_bad=True,
            rises_after_s=2 * MINUTE_S,
            falls_after_s=2 * MINUTE_S,
            alarm=EventName.STORAGE_LOW,
        ),
        "remove what else takes space on that file system",
    ),
    Figure(
        "free_inodes_share",
        "storage",
        "1",
        "statvfs(3), `f_favail` over `f_files`",
        Threshold(0.05, 0.01, 0.01, low_is_bad=True, rises_after_s=2 * MINUTE_S),
        "remove what else makes files there, or make the file system anew with more inodes",
    ),
    Figure("days_that_fit", "storage", "days", "room over `bitrate_day_kbps`; the ring with the least"),
    Figure(
        "retention_share",
        "storage",
        "1",
        "hours that fit over `min_age_h`, where the settings give one",
        Threshold(
            0.99,
            0.5,
            0.05,
            low_is_bad=True,
            rises_after_s=10 * MINUTE_S,
            falls_after_s=HOUR_S,
            alarm=EventName.RETENTION_SHORT,
        ),
        "a larger disk, or a lower bit rate at the camera",
    ),
    Figure("ring_bytes", "storage", "bytes", "footage of all rings"),
    Figure("pinned_bytes", "storage", "bytes", "of it, held for clips"),
    Figure("write_errors", "storage", "times", "writes and syncs refused since the recorders' start"),
    Figure(
        "write_errors_last_hour",
        "storage",
        "times",
        "writes and syncs refused within an hour",
        Threshold(1, 10, 0),
        "read the kernel's log for the disk's errors; replace the disk",
    ),
    Figure(
        "sync_p50_ms",
        "storage",
        "ms",
        "median of the last 120 fsync(2) of a recorder; the slowest recorder's",
        Threshold(500, 1000, 150, rises_after_s=MINUTE_S, falls_after_s=10 * MINUTE_S, alarm=EventName.STORAGE_SLOW),
        'replace a worn card; look who else writes to the disk; `sync = "10s"` where that much may be lost',
    ),
    Figure(
        "sync_max_ms",
        "storage",
        "ms",
        "the longest of them",
        # Cards collect garbage for a second or two now and then; the recorder's queue bridges that.
        Threshold(
            5000,
            15_000,
            2000,
            falls_after_s=10 * MINUTE_S,
            alarm=EventName.STORAGE_SLOW,
            alarm_from="critical",
        ),
        "as for `sync_p50_ms`",
    ),
    Figure(
        "file_system_errors",
        "storage",
        "times",
        "`/sys/fs/ext4/<device>/errors_count` (Linux Documentation/ABI/testing/sysfs-fs-ext4); ext4 alone",
        Threshold(1, None, 0),
        "save the footage that matters, then e2fsck(8); replace the disk when it comes again",
    ),
    # -- system
    Figure(
        "cpu_load_share",
        "system",
        "1",
        "`/proc/stat` (proc(5)): time that was neither idle nor waiting for storage, since the last look",
        Threshold(0.90, None, 0.10, rises_after_s=5 * MINUTE_S, falls_after_s=5 * MINUTE_S),
        "look what else runs on the board",
    ),
    Figure("load_1min", "system", "processes", "`/proc/loadavg` (proc(5))"),
    Figure("load_5min", "system", "processes", "`/proc/loadavg`"),
    Figure("load_15min", "system", "processes", "`/proc/loadavg`"),
    Figure(
        "load_per_processor",
        "system",
        "processes",
        "`load_5min` over the processors of `/proc/stat`",
        Threshold(3.0, None, 1.0, rises_after_s=5 * MINUTE_S, falls_after_s=5 * MINUTE_S),
        "many processes wait, for the processor or for a disk that does not answer",
    ),
    Figure(
        "memory_used_share",
        "system",
        "1",
        "`/proc/meminfo` (proc(5)): 1 less `MemAvailable` over `MemTotal`",
        Threshold(
            0.85,
            0.95,
            0.05,
            rises_after_s=MINUTE_S,
            falls_after_s=5 * MINUTE_S,
            alarm=EventName.MEMORY_LOW,
            alarm_from="critical",
        ),
        "look what else runs on the board; send the unit's log",
    ),
    Figure(
        "temperature_c",
        "system",
        "°C",
        "hottest `/sys/class/thermal/thermal_zone*/temp` (Linux Documentation/driver-api/thermal/sysfs-api.rst)",
        # Boards throttle at 80 to 85 °C (Raspberry Pi documentation, "Frequency management and thermal control").
        Threshold(
            75.0,
            82.0,
            4.0,
            rises_after_s=30.0,
            falls_after_s=15 * MINUTE_S,
            alarm=EventName.TEMPERATURE_HIGH,
        ),
        "free the vents, look at the fan, give shade",
    ),
    Figure("uptime_s", "system", "s", "`/proc/uptime` (proc(5))"),
    Figure("supervisor_starts", "system", "times", "starts of `edge-agent run` in this boot"),
    Figure("restarts", "process", "times", "in this boot: a recorder or the link ended, or was killed"),
    Figure(
        "restarts_last_hour",
        "process",
        "times",
        "of them, those within an hour; `last_reason` and `last_restart_age_s` say why and when the last was",
        Threshold(3, 10, 1, alarm=EventName.PROCESS_RESTARTING),
        "read the log (`journalctl -u edge-agent`); a recorder that ends with 75 has a camera whose library hangs",
    ),
    # -- network
    Figure(
        "received_kbps",
        "network",
        "kbit/s",
        "each interface, and all: `/proc/net/dev` (proc(5)) since the last look",
    ),
    Figure("sent_kbps", "network", "kbit/s", "as `received_kbps`"),
    Figure("received_bytes", "network", "bytes", "of each interface since boot: `/proc/net/dev`"),
    Figure("sent_bytes", "network", "bytes", "as `received_bytes`"),
    Figure(
        "round_trip_ms",
        "network",
        "ms",
        "median of the last 8 answers of the broker to the keep-alive's ping or to a short message (MQTT 5 §3.12)",
        Threshold(
            3000,
            10_000,
            1000,
            rises_after_s=5 * MINUTE_S,
            falls_after_s=5 * MINUTE_S,
            alarm=EventName.ROUND_TRIP_HIGH,
        ),
        "look at the modem's signal and antenna, and at the tariff's remaining volume",
    ),
    Figure("round_trip_age_s", "network", "s", "since the last of them"),
    Figure("upload_kbps", "network", "kbit/s", "what the ingest acknowledged in a minute of the last transfer"),
    Figure("upload_age_s", "network", "s", "since that"),
    # -- clock
    Figure(
        "clock_bound_ms",
        "clock",
        "ms",
        "largest error of the wall clock: chronyc(1) `tracking`, else adjtimex(2) `maxerror`",
        # The kernel adds 0.5 ms a second since a daemon's last word; systemd-timesyncd's come every 34 minutes.
        Threshold(
            2000.0,
            60_000.0,
            500.0,
            rises_after_s=10 * MINUTE_S,
            falls_after_s=10 * MINUTE_S,
            alarm=EventName.CLOCK_UNSYNCHRONISED,
        ),
        "look whether the unit reaches its time servers, or has a GNSS fix",
    ),
    Figure(
        "unsynchronised_s",
        "clock",
        "s",
        "since somebody last vouched for the clock, in this life of the link; 0 while somebody does",
        Threshold(HOUR_S, 24 * HOUR_S, 0, alarm=EventName.CLOCK_UNSYNCHRONISED),
        "as for `clock_bound_ms`; what was recorded meanwhile is dated once the clock is known",
    ),
    Figure(
        "last_sync_age_s",
        "clock",
        "s",
        "chronyc(1) `tracking`, reference time; else `/run/systemd/timesync/synchronized` (systemd-timesyncd(8))",
    ),
    Figure(
        "clock_offset_ms",
        "clock",
        "ms",
        "how far the wall clock is from what chrony believes, without sign: `tracking`, system time",
    ),
)
"""In the order of the document."""


CONDITIONS: tuple[Condition, ...] = (
    Condition(
        "recording",
        "camera",
        "false: no picture comes; `cause` and `detail` say why",
        "critical",
        EventName.CAMERA_LOST,
        10.0,
        20.0,
        "look at the camera's power and cable, at its address and password in the settings",
    ),
    Condition(
        "state",
        "camera",
        "`unknown`: the camera's recorder does not answer; `detail` says why",
        "unknown",
        EventName.RECORDER_UNAVAILABLE,
        15.0,
        0.0,
        "the supervisor starts it again by itself; else read the log",
    ),
    Condition(
        "warnings",
        "camera",
        "the picture is smaller or slower than the law asks (704×576, 12/s)",
        "warning",
        EventName.PICTURE_BELOW_MINIMUM,
        0.0,
        MINUTE_S,
        "raise resolution or frame rate at the camera",
    ),
    Condition(
        "warnings",
        "camera",
        "`picture-black`: pictures come, and for 10 s nothing in them was brighter than black",
        "warning",
        EventName.PICTURE_BLACK,
        0.0,
        20.0,
        "look for a cap, a covered lens, a failed infrared light",
    ),
    Condition(
        "warnings",
        "camera",
        "`picture-frozen`: for 30 s the very same picture, not even noise changed",
        "warning",
        EventName.PICTURE_FROZEN,
        0.0,
        20.0,
        "cut the camera's power for ten seconds",
    ),
    Condition(
        "notes",
        "camera",
        "what the camera or its encoder does not do as the settings ask, each with its remedy",
        "warning",
        EventName.CAMERA_OTHERWISE,
        10.0,
        20.0,
        "do as the sentence says, or ask in the settings for what the camera has",
    ),
    Condition(
        "storage_ok",
        "storage",
        "false: a recorder's writes are refused",
        "critical",
        EventName.STORAGE_ERROR,
        0.0,
        MINUTE_S,
        "read the kernel's log; replace the disk",
    ),
    Condition(
        "read_only",
        "storage",
        "true: mounted read-only (statvfs(3), `ST_RDONLY`), or given up by ext4 (`emergency_ro` in"
        " proc_pid_mountinfo(5))",
        "critical",
        EventName.STORAGE_READ_ONLY,
        0.0,
        MINUTE_S,
        "what it holds can still be had (operations.md); then e2fsck(8), or another disk",
    ),
    Condition(
        "answers",
        "storage",
        "false: the storage did not answer for 2 s",
        "critical",
        EventName.STORAGE_SILENT,
        20.0,
        MINUTE_S,
        "look at the disk's cable and power",
    ),
)
"""In the order of the document."""

BY_ALARM: dict[EventName, Condition] = {condition.alarm: condition for condition in CONDITIONS}


@cache
def thresholds_of(owner: Owner) -> Mapping[str, Threshold]:
    """Limits by figure."""
    return {figure.name: figure.limit for figure in FIGURES if figure.owner == owner and figure.limit is not None}
