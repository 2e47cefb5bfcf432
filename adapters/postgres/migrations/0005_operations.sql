-- Operations: alerts, dead letters, and the utilities that a portfolio names.

-- At most one alert is open for a (name, subject).
CREATE TABLE gridproof.alerts (
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    subject text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('warning', 'critical', 'page')),
    detail text NOT NULL,
    raised_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    cleared_at timestamptz
);
CREATE UNIQUE INDEX alerts_open ON gridproof.alerts (name, subject) WHERE cleared_at IS NULL;
CREATE INDEX alerts_newest ON gridproof.alerts (raised_at DESC, alert_id DESC);
GRANT SELECT, INSERT ON gridproof.alerts TO gridproof_app;
GRANT UPDATE (severity, detail, last_seen_at, cleared_at) ON gridproof.alerts TO gridproof_app;

-- Work that could not be done. A letter is parked open and kept for good; of it the application can change only
-- what a person decided.
CREATE TABLE gridproof.dead_letters (
    dead_letter_id uuid PRIMARY KEY,
    queue text NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL,
    body bytea NOT NULL,
    parked_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'replayed', 'discarded')),
    decided_at timestamptz,
    decided_by text,
    decision_reason text,
    CHECK ((status = 'open') = (decided_at IS NULL)),
    CHECK ((status = 'open') = (decided_by IS NULL)),
    CHECK ((status = 'open') = (decision_reason IS NULL)),
    CHECK (status <> 'discarded' OR decision_reason <> '')
);
CREATE INDEX dead_letters_newest ON gridproof.dead_letters (status, parked_at DESC, dead_letter_id);
GRANT SELECT ON gridproof.dead_letters TO gridproof_app;
GRANT INSERT (dead_letter_id, queue, subject, reason, body, parked_at) ON gridproof.dead_letters TO gridproof_app;
GRANT UPDATE (status, decided_at, decided_by, decision_reason) ON gridproof.dead_letters TO gridproof_app;

-- Utilities, with references to their secrets; a secret itself is never here.
CREATE TABLE gridproof.utilities (
    utility_id text PRIMARY KEY,
    name text NOT NULL,
    webhook_secret_ref text,
    callback_secret_ref text,
    changed_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON gridproof.utilities TO gridproof_app;
