"""The registry's tables for watching over the fleet (version 4).

- `alarms`: a record from its raising to its acknowledgement, `alarm_rows.MAX_ALARMS` at most; version 5 adds the id
  of the event that raised it
- `history`, `history_batches`: bodies of `up/health` and `up/position` by time, and which batches of them were taken
- `coverage_days`: seconds that each camera held and lost, by UTC day in quarters of an hour
- `notices`, `notify_channels`, `summary_days`: what people are to be told, how far each channel is with it, and of
  which days the summary was made
"""

WATCH_TABLES = """
CREATE TABLE alarms (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    alarm_id TEXT NOT NULL UNIQUE,
    unit_id TEXT NOT NULL,
    name TEXT NOT NULL,
    camera TEXT NOT NULL,
    origin TEXT NOT NULL,
    severity TEXT NOT NULL,
    said_us INTEGER NOT NULL,
    raised_us INTEGER NOT NULL,
    cleared_us INTEGER,
    clear_known INTEGER NOT NULL DEFAULT 0,
    acknowledged_us INTEGER,
    acknowledged_by TEXT,
    note TEXT,
    details TEXT NOT NULL
) STRICT;
CREATE INDEX alarms_key ON alarms (unit_id, name, camera, said_us);
CREATE INDEX alarms_unit ON alarms (unit_id, raised_us, alarm_id);
CREATE INDEX alarms_order ON alarms (raised_us, alarm_id);
CREATE INDEX alarms_open ON alarms (unit_id, raised_us, alarm_id) WHERE cleared_us IS NULL;
CREATE INDEX alarms_unacknowledged ON alarms (unit_id) WHERE acknowledged_us IS NULL;
CREATE INDEX alarms_closed ON alarms (unit_id, number) WHERE cleared_us IS NOT NULL;
CREATE TABLE history (
    unit_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (unit_id, kind, at_us)
) STRICT, WITHOUT ROWID;
CREATE TABLE history_batches (
    unit_id TEXT NOT NULL,
    history_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    left_out INTEGER NOT NULL,
    heard_us INTEGER NOT NULL,
    PRIMARY KEY (unit_id, history_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX history_batches_order ON history_batches (unit_id, kind, last_us);
CREATE TABLE coverage_days (
    unit_id TEXT NOT NULL,
    camera TEXT NOT NULL,
    day TEXT NOT NULL,
    held_s INTEGER,
    lost_s INTEGER,
    quarters TEXT NOT NULL,
    PRIMARY KEY (day, unit_id, camera)
) STRICT, WITHOUT ROWID;
CREATE TABLE notices (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    notice_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    severity TEXT,
    body TEXT NOT NULL,
    made_us INTEGER NOT NULL
) STRICT;
CREATE TABLE notify_channels (
    channel TEXT PRIMARY KEY,
    done_number INTEGER NOT NULL,
    batch_id TEXT,
    batch_end INTEGER,
    left_out INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE summary_days (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    day TEXT NOT NULL UNIQUE
) STRICT;
"""

ALARM_EVENTS = """
ALTER TABLE alarms ADD COLUMN event_id TEXT;
CREATE INDEX alarms_event ON alarms (unit_id, event_id) WHERE event_id IS NOT NULL;
"""

NOTICE_UNITS = """
CREATE INDEX notices_unit ON notices (json_extract(body, '$.unit_id'), number);
"""
