"""The registry's tables, and what makes an older registry the present one, a step a version.

Version 3 has an index for every order in which the API pages; lists of 100,000 rows are read a page at a time.
Version 4 has what is kept of watching over the fleet, version 5 the event that raised each alarm, version
6 the notices of each unit.
"""

from csu.registry_watch import ALARM_EVENTS, NOTICE_UNITS, WATCH_TABLES

_SCHEMA = """
CREATE TABLE units (
    unit_id TEXT PRIMARY KEY,
    enrolled_us INTEGER NOT NULL,
    ignored INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE states (
    unit_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    body TEXT NOT NULL,
    heard_us INTEGER NOT NULL,
    PRIMARY KEY (unit_id, topic)
) STRICT;
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    unit_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    body TEXT NOT NULL,
    heard_us INTEGER NOT NULL,
    UNIQUE (unit_id, event_id)
) STRICT;
CREATE TABLE commands (
    command_id TEXT PRIMARY KEY,
    unit_id TEXT NOT NULL,
    cmd TEXT NOT NULL,
    params TEXT NOT NULL,
    operator TEXT NOT NULL,
    role TEXT NOT NULL,
    reference TEXT,
    purpose TEXT,
    token TEXT NOT NULL,
    issued_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    state TEXT NOT NULL,
    reply TEXT,
    replied_us INTEGER,
    sent INTEGER NOT NULL DEFAULT 0,
    next_send_us INTEGER,
    version INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX commands_due ON commands (next_send_us) WHERE next_send_us IS NOT NULL;
CREATE INDEX commands_unit ON commands (unit_id, issued_us);
"""
_CLIPS_1 = """
CREATE TABLE clips (
    clip_id TEXT PRIMARY KEY,
    unit_id TEXT NOT NULL,
    folder TEXT NOT NULL,
    completed_us INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT,
    report TEXT,
    receipt TEXT,
    receipts_sent INTEGER NOT NULL DEFAULT 0,
    next_receipt_us INTEGER
) STRICT;
CREATE INDEX clips_due ON clips (next_receipt_us) WHERE next_receipt_us IS NOT NULL;
"""
_CLIPS = """
CREATE TABLE clips (
    unit_id TEXT NOT NULL,
    clip_id TEXT NOT NULL,
    folder TEXT NOT NULL,
    completed_us INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT,
    report TEXT,
    receipt TEXT,
    receipts_sent INTEGER NOT NULL DEFAULT 0,
    next_receipt_us INTEGER,
    PRIMARY KEY (unit_id, clip_id)
) STRICT;
CREATE INDEX clips_due ON clips (next_receipt_us) WHERE next_receipt_us IS NOT NULL;
"""
_CLIPS_ASIDE = """
DROP INDEX clips_due;
ALTER TABLE clips RENAME TO clips_1;
"""
_CLIPS_OVER = """
INSERT INTO clips SELECT unit_id, clip_id, folder, completed_us, verdict, reason, report, receipt, receipts_sent,
    next_receipt_us FROM clips_1;
DROP TABLE clips_1;
"""
_PAGES = """
DROP INDEX commands_unit;
CREATE INDEX commands_unit ON commands (unit_id, issued_us, command_id);
CREATE INDEX commands_order ON commands (issued_us, command_id);
CREATE INDEX commands_open ON commands (unit_id) WHERE state IN ('waiting', 'accepted', 'running');
CREATE INDEX events_unit ON events (unit_id, number);
CREATE INDEX clips_unit ON clips (unit_id, completed_us, clip_id);
CREATE INDEX clips_order ON clips (completed_us, unit_id, clip_id);
CREATE INDEX clips_pending ON clips (completed_us) WHERE verdict = 'pending';
"""
STEPS = (
    _SCHEMA + _CLIPS_1,
    _CLIPS_ASIDE + _CLIPS + _CLIPS_OVER,
    _PAGES,
    WATCH_TABLES,
    ALARM_EVENTS,
    NOTICE_UNITS,
)
"""`STEPS[n]` makes version n + 1 of version n; a new registry goes through all of them."""

SCHEMA_VERSION = len(STEPS)
