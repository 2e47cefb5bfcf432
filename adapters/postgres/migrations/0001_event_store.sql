-- The event store: one append-only table per application, their snapshots, and the idempotency keys.
-- The application's role can add and read domain events; it can never change or remove one.

CREATE SCHEMA IF NOT EXISTS gridproof;
GRANT USAGE ON SCHEMA gridproof TO gridproof_app;

CREATE TYPE gridproof.stored_event_uuid AS (
    originator_id uuid,
    originator_version bigint,
    topic text,
    state bytea
);

CREATE TABLE gridproof.demand_response_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX demand_response_events_notification_id_idx
    ON gridproof.demand_response_events (notification_id);

CREATE TABLE gridproof.forecasts_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX forecasts_events_notification_id_idx ON gridproof.forecasts_events (notification_id);

CREATE TABLE gridproof.demand_response_snapshots (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    -- The MAC of (stream, version, topic, state), by a key outside of this database.
    mac bytea NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
);

-- Positions are given by the table (an application role that could name them could forge the order), so
-- INSERT is granted by column. MAINTAIN allows the lock that keeps the order, and no change of a row.
GRANT SELECT, MAINTAIN ON gridproof.demand_response_events, gridproof.forecasts_events TO gridproof_app;
GRANT INSERT (originator_id, originator_version, topic, state)
    ON gridproof.demand_response_events, gridproof.forecasts_events TO gridproof_app;
GRANT SELECT, INSERT ON gridproof.demand_response_snapshots TO gridproof_app;

CREATE TABLE gridproof.idempotency_keys (
    scope text NOT NULL,
    key text NOT NULL,
    body_hash text NOT NULL,
    reply bytea NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (scope, key)
);
GRANT SELECT, INSERT ON gridproof.idempotency_keys TO gridproof_app;

-- How far each reader of a log that acts on it (the relay) has come.
CREATE TABLE gridproof.reader_positions (
    reader text PRIMARY KEY,
    position bigint NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE ON gridproof.reader_positions TO gridproof_app;
