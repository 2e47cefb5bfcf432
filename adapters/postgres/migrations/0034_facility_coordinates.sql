-- expand
-- Where facilities are: of a home that is an address. A row without coordinates says that they were forgotten.
CREATE TABLE gridproof.facility_coordinates (
    facility_id text COLLATE "C" PRIMARY KEY,
    latitude double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude double precision CHECK (longitude BETWEEN -180 AND 180),
    CHECK ((latitude IS NULL) = (longitude IS NULL))
);
GRANT SELECT, INSERT, UPDATE (latitude, longitude) ON gridproof.facility_coordinates TO gridproof_app;
