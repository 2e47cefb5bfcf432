-- expand
-- The application may read which migrations were applied, so that `gridproof migrate --check` works in its role too.

GRANT SELECT ON gridproof.migrations TO gridproof_app;
