-- The rollups are hypertables, as the readings are.
SELECT create_hypertable('bellwire.reading_1m', 'bucket', chunk_time_interval => interval '1 day',
                         create_default_indexes => false, migrate_data => true);
SELECT create_hypertable('bellwire.reading_1h', 'bucket', chunk_time_interval => interval '30 days',
                         create_default_indexes => false, migrate_data => true);
SELECT create_hypertable('bellwire.reading_1d', 'bucket', chunk_time_interval => interval '1 year',
                         create_default_indexes => false, migrate_data => true);

-- Chunks that are over go into the columnstore: a device's metric by time, which is how it is asked
-- for, and where neighbours are alike (docs/decisions/0026). When, the policies say, which follow the
-- configuration. With the Apache licence there is no columnstore: then everything stays in rows.
DO $$
BEGIN
    IF current_setting('timescaledb.license', true) IS DISTINCT FROM 'apache' THEN
        ALTER TABLE bellwire.reading SET (
            timescaledb.compress,
            timescaledb.compress_segmentby = 'device_id, metric_id',
            timescaledb.compress_orderby = 'at');
        ALTER TABLE bellwire.reading_1m SET (
            timescaledb.compress,
            timescaledb.compress_segmentby = 'device_id, metric_id',
            timescaledb.compress_orderby = 'bucket');
        ALTER TABLE bellwire.reading_1h SET (
            timescaledb.compress,
            timescaledb.compress_segmentby = 'device_id, metric_id',
            timescaledb.compress_orderby = 'bucket');
    END IF;
END $$;
