#!/bin/sh
# Run once, when the database's volume is empty: makes the role and the database that Bellwire has. It is no
# superuser: it owns its database, and may make the role that Grafana reads with.
set -eu

psql --set=ON_ERROR_STOP=1 --no-psqlrc --username="${POSTGRES_USER:-postgres}" --dbname=postgres <<'SQL'
\set password `cat /run/secrets/database_password`
CREATE ROLE bellwire LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE bellwire OWNER bellwire ENCODING 'UTF8' TEMPLATE template0;
\connect bellwire
-- Only a superuser may.
CREATE EXTENSION IF NOT EXISTS timescaledb SCHEMA public;
SQL
