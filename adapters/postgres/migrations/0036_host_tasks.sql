-- expand
-- What the page asks of the process of `gridproof up`, because the web process has no right to it: logins of meters, and
-- the check, the import and the take-back of a file of past readings. Times are those of the database.
CREATE TABLE gridproof.host_tasks (
    task_id uuid PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    work jsonb NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    requested_by text NOT NULL,
    trace_id text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'refused')),
    attempts integer NOT NULL DEFAULT 0,
    phase text,
    done bigint NOT NULL DEFAULT 0,
    total bigint,
    result jsonb,
    problem text,
    ended_at timestamptz,
    CHECK ((ended_at IS NULL) = (state IN ('waiting', 'running')))
);
COMMENT ON COLUMN gridproof.host_tasks.work IS 'what is to be done; the hash of a password leaves it when it is done';
CREATE INDEX host_tasks_requested ON gridproof.host_tasks (requested_at);
-- One file of past readings at a time: reading it takes a processor, and each has room on the disk.
CREATE UNIQUE INDEX host_tasks_one_history ON gridproof.host_tasks ((true))
    WHERE kind IN ('check_history', 'import_history', 'take_back_history') AND ended_at IS NULL;
GRANT SELECT, DELETE, INSERT (task_id, kind, work, requested_by, trace_id) ON gridproof.host_tasks TO gridproof_app;
GRANT UPDATE (work, state, attempts, phase, done, total, result, problem, ended_at) ON gridproof.host_tasks
    TO gridproof_app;

-- That the process runs, and which logins its broker has; null: it runs no broker.
CREATE TABLE gridproof.host_state (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    mqtt_port integer,
    meter_logins text[] COLLATE "C"
);
GRANT SELECT, INSERT, UPDATE (seen_at, mqtt_port, meter_logins) ON gridproof.host_state TO gridproof_app;
