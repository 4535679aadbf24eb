-- Plain PostgreSQL has no columnstore: readings stay in rows, until retention drops their day.
SELECT;
