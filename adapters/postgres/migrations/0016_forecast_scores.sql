-- expand
-- How forecasts turned out beside the meters, in sums by facility, UTC day, lead time and quality. Derived from the
-- forecasts' log and from telemetry: it may be lost, and then begins anew.
CREATE TABLE forecast_scores (
    facility_id text COLLATE "C" NOT NULL,
    day date NOT NULL,
    lead_h smallint NOT NULL,
    data_quality text COLLATE "C" NOT NULL,
    quarters integer NOT NULL,
    load_kw double precision NOT NULL,
    error_kw double precision NOT NULL,
    abs_kw double precision NOT NULL,
    square_kw2 double precision NOT NULL,
    pinball_kw double precision NOT NULL,
    below integer NOT NULL,
    above integer NOT NULL,
    compared integer NOT NULL,
    compared_square_kw2 double precision NOT NULL,
    naive_square_kw2 double precision NOT NULL,
    PRIMARY KEY (facility_id, day, lead_h, data_quality)
);
COMMENT ON COLUMN forecast_scores.compared IS 'quarter-hours of which the load a week before is known too';
CREATE INDEX forecast_scores_day ON forecast_scores USING brin (day);

-- How far the errors of all facilities go together, by UTC day and lead time.
CREATE TABLE forecast_correlations (
    day date NOT NULL,
    lead_h smallint NOT NULL,
    quarters integer NOT NULL,
    pairs_kw2 double precision NOT NULL,
    own_kw2 double precision NOT NULL,
    spread_pairs_kw2 double precision NOT NULL,
    spread_own_kw2 double precision NOT NULL,
    PRIMARY KEY (day, lead_h)
);
COMMENT ON COLUMN forecast_correlations.pairs_kw2 IS 'sum of the products of two different facilities'' errors';

CREATE TABLE forecast_scoring_progress (
    the_only boolean PRIMARY KEY DEFAULT true CHECK (the_only),
    scored_through timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON forecast_scores, forecast_correlations, forecast_scoring_progress TO gridproof_app;
