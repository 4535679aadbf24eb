-- Which readings of a quarantined payload are stored: 8 bytes each, little endian. NULL: it was written
-- before that was noted.
ALTER TABLE bellwire.quarantine ADD COLUMN kept bytea;
