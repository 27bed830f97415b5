-- Whom the accounts of an identity provider stand for: the first name that one came with is its own from then on.
CREATE TABLE oidc_people (
    issuer TEXT NOT NULL,
    -- Where the names come from: with another claim they begin anew.
    claim TEXT NOT NULL,
    subject TEXT NOT NULL,
    name TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (issuer, claim, subject),
    UNIQUE (issuer, claim, name)
);
