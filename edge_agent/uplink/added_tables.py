"""Tables of the link's database that came after its first version.

They are made in every database, under the same version, so that older software goes on with it and leaves them alone.
"""

ADDED_TABLES = """
CREATE TABLE IF NOT EXISTS damaged (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    origin TEXT NOT NULL,
    key TEXT NOT NULL,
    problem TEXT NOT NULL,
    row TEXT NOT NULL,
    found_us INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS history (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    monotonic_us INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    clock_source TEXT NOT NULL,
    is_change INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS history_left_out (
    kind TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history_batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS boots (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    boot_id TEXT NOT NULL UNIQUE,
    offset_us INTEGER NOT NULL,
    source TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS alarm_origins (
    name TEXT NOT NULL,
    camera TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    monotonic_us INTEGER NOT NULL,
    clock_source TEXT NOT NULL,
    PRIMARY KEY (name, camera)
) WITHOUT ROWID;
"""
"""`damaged`: rows that could not be read (`damage`); `history…`: see `stored_history`; `boots`: see `boot_clocks`;
`alarm_origins`: see `raised_alarms`."""
