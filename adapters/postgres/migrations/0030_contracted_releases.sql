-- expand
-- The releases of which an operator has said that no older process runs (`gridproof migrate --contract`): from then on,
-- processes write the topics that those older ones cannot read.
CREATE TABLE gridproof.contracted_releases (release text COLLATE "C" PRIMARY KEY);
GRANT SELECT ON gridproof.contracted_releases TO gridproof_app;
