-- Who may call the service, beside the admin token of its file. Only hashes are kept: a token is shown once, when it is made.
-- Revoking deletes the row; the service notices within a second, also when it is deleted by hand.

CREATE TABLE tokens (
  token_key     INTEGER PRIMARY KEY AUTOINCREMENT,
  name          TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
  role          TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
  hash          TEXT NOT NULL UNIQUE CHECK (length(hash) = 64 AND hash NOT GLOB '*[^0-9a-f]*'),   -- sha256 of the token
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER CHECK (expires_at_ms > created_at_ms)                                     -- NULL = never
) STRICT;

CREATE VIEW v_tokens AS
SELECT t.name,
       t.role,
       strftime('%Y-%m-%dT%H:%M:%SZ', t.created_at_ms / 1000, 'unixepoch') AS created,
       coalesce(strftime('%Y-%m-%dT%H:%M:%SZ', t.expires_at_ms / 1000, 'unixepoch'), 'never') AS expires,
       CASE WHEN t.expires_at_ms <= n.ms THEN 'expired' ELSE 'good' END AS state
  FROM tokens t CROSS JOIN v_now n
 ORDER BY t.name;
