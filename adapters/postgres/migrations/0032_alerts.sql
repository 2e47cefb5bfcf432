-- expand
-- What a person decided about an alert. The log has the act, without the reason, which stands here.
ALTER TABLE gridproof.alerts
    ADD COLUMN acknowledged_at timestamptz,
    ADD COLUMN acknowledged_by text,
    ADD COLUMN acknowledgement text,
    ADD COLUMN cleared_by text,
    ADD COLUMN clear_reason text;
GRANT UPDATE (acknowledged_at, acknowledged_by, acknowledgement, cleared_by, clear_reason) ON gridproof.alerts
    TO gridproof_app;

-- What each observer says is open. An alert is open while a statement about it counts. Times are the database's.
CREATE TABLE gridproof.alert_statements (
    name text NOT NULL,
    subject text NOT NULL,
    observer text NOT NULL,
    detail text NOT NULL,
    seen_at timestamptz NOT NULL,
    counts_until timestamptz NOT NULL,
    cleared_until timestamptz,
    PRIMARY KEY (name, subject, observer)
);
COMMENT ON COLUMN gridproof.alert_statements.cleared_until IS
    'set when a person ended the alert: only what is stated from then on counts';
GRANT SELECT, INSERT, UPDATE, DELETE ON gridproof.alert_statements TO gridproof_app;

-- The messages about alerts to people, one row for each alert, channel and kind of message.
CREATE TABLE gridproof.alert_deliveries (
    alert_id bigint NOT NULL REFERENCES gridproof.alerts,
    channel text COLLATE "C" NOT NULL,
    message text NOT NULL CHECK (message IN ('raised', 'escalated', 'ended')),
    attempts integer NOT NULL CHECK (attempts > 0),
    tried_at timestamptz NOT NULL,
    delivered_at timestamptz,
    failure text,
    PRIMARY KEY (alert_id, channel, message)
);
CREATE INDEX alert_deliveries_newest ON gridproof.alert_deliveries (tried_at DESC);
GRANT SELECT, INSERT ON gridproof.alert_deliveries TO gridproof_app;
GRANT UPDATE (attempts, tried_at, delivered_at, failure) ON gridproof.alert_deliveries TO gridproof_app;

-- The processes that run, or died without a word; one that ends by itself deletes its row. Times are the database's.
CREATE TABLE gridproof.process_heartbeats (
    worker text COLLATE "C" NOT NULL,
    host text COLLATE "C" NOT NULL,
    pid integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    backends integer[] NOT NULL,
    dependencies jsonb NOT NULL,
    PRIMARY KEY (worker, host, pid)
);
COMMENT ON COLUMN gridproof.process_heartbeats.backends IS 'the server processes of its sessions';
COMMENT ON COLUMN gridproof.process_heartbeats.dependencies IS 'name -> the problem with it; null: it is up';
GRANT SELECT, INSERT, UPDATE, DELETE ON gridproof.process_heartbeats TO gridproof_app;
