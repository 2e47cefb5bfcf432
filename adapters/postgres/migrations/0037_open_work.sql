-- expand
-- What is to be done outside: a row for each recorded intent, written by the statement that records it, and a row for a
-- check of a building. A worker holds a row by the number of a session lock of its process, and deletes it once the
-- outcome is recorded. Numbers of intents are drawn under the lock of the log, so they have the order of its commits.
-- No index on due_at, tries and holder: an update of them touches no index.
CREATE TABLE gridproof.open_work (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('bms', 'callback')),
    queue text NOT NULL,
    position bigint CHECK (position IS NOT NULL OR kind = 'bms'),
    due_at timestamptz NOT NULL DEFAULT '-infinity',
    tries integer NOT NULL DEFAULT 0,
    holder integer
) WITH (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000
);
COMMENT ON COLUMN gridproof.open_work.queue IS 'bms: the facility; callback: the utility';
COMMENT ON COLUMN gridproof.open_work.position IS 'of the intent in the log; null: a check of the building';
CREATE UNIQUE INDEX open_work_queues ON gridproof.open_work (kind, queue, number);
CREATE UNIQUE INDEX open_work_checks ON gridproof.open_work (queue) WHERE position IS NULL;
GRANT SELECT, INSERT (kind, queue, position), DELETE ON gridproof.open_work TO gridproof_app;
GRANT UPDATE (due_at, tries, holder) ON gridproof.open_work TO gridproof_app;
