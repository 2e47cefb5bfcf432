-- contract: needs release 0.2
-- No process of before 0.2 runs any more: this one writes topics that they cannot read.
INSERT INTO gridproof.contracted_releases VALUES ('0.2');

-- What points at a person stands beside the log, in tables that can forget; the log holds ids. While these tables are
-- missing, everything is recorded as before: releases before 0.2 would lose callbacks whose address is an id only.

-- Where utilities receive callbacks. The digest is that of the URL, which is too long for an index.
CREATE TABLE gridproof.callback_addresses (
    address_id uuid PRIMARY KEY,
    utility_id text COLLATE "C" NOT NULL,
    url text NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    UNIQUE (utility_id, digest)
);
GRANT SELECT, INSERT, DELETE ON gridproof.callback_addresses TO gridproof_app;

-- Where facilities are: of a home that is an address. A row without coordinates says that they were forgotten.
CREATE TABLE gridproof.facility_coordinates (
    facility_id text COLLATE "C" PRIMARY KEY,
    latitude double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude double precision CHECK (longitude BETWEEN -180 AND 180),
    CHECK ((latitude IS NULL) = (longitude IS NULL))
);
GRANT SELECT, INSERT, UPDATE (latitude, longitude) ON gridproof.facility_coordinates TO gridproof_app;

-- Changes of facilities and programs that processes of before 0.2 recorded after 0034: they did not list them.
INSERT INTO gridproof.administrative_acts (position)
SELECT notification_id FROM gridproof.demand_response_events
WHERE (topic LIKE 'facility.%' OR topic LIKE 'program.%' OR topic = 'dispatch.forecast-overridden.v1')
    AND topic NOT IN (
        'facility.reserved.v1', 'facility.released.v1', 'facility.restore-awaited.v1', 'facility.restore-confirmed.v1'
    )
ON CONFLICT DO NOTHING;
