-- TimescaleDB makes its chunks by itself.
SELECT;
