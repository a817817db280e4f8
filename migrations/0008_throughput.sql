-- For those who watch from afar: which database the numbers of events belong to, and how fast it went.

-- Made once with the database, so that a number of an event is never taken for that of another database.
ALTER TABLE settings ADD COLUMN epoch TEXT NOT NULL DEFAULT 'none' CHECK (epoch <> '' AND epoch NOT GLOB '*[^0-9a-z]*');
UPDATE settings SET epoch = lower(hex(randomblob(4)));

CREATE TABLE throughput (                      -- bytes that workers received, in steps; written now and then, pruned by age
  step_s INTEGER NOT NULL CHECK (step_s IN (1, 10, 120)),   -- length of a step: five minutes, an hour and a day are kept
  at_s   INTEGER NOT NULL CHECK (at_s >= 0 AND at_s % step_s = 0),   -- its beginning, in seconds since the Unix epoch
  bytes  INTEGER NOT NULL CHECK (bytes >= 0),
  PRIMARY KEY (step_s, at_s)
) STRICT, WITHOUT ROWID;
