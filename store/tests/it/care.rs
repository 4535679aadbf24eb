//! The care of the database: what it is, what a migration would do, and a dump as of an instant.

use bellwire_model::LogPosition;
use bellwire_store::testing::Kind;
use bellwire_store::{Error, Mode, on_every_kind};

use crate::support::{LOG, batch, names, number, open, readings, sql, tally};

on_every_kind! {
    a_look_changes_nothing_and_a_migration_is_foretold,
    ; native: a_dump_has_what_was_committed_when_it_began,
}

async fn a_look_changes_nothing_and_a_migration_is_foretold(kind: Kind) {
    let empty = kind.empty_database().await;
    let database = empty.open();
    let facts = database.facts(Some(LOG)).await.expect("an answer");
    assert_eq!((facts.mode, facts.schema_version, facts.log), (None, 0, None));
    assert!(facts.major >= 15 && facts.encoding == "UTF8" && !facts.is_standby, "{facts:?}");
    let plan = database.plan().await.expect("a plan");
    assert_eq!((plan.from, plan.to), (0, facts.schema_known));
    // WebAssembly has no libraries that are preloaded, by which it is told.
    assert!(plan.mode == kind.mode() || kind == Kind::TimescaleWasm, "{plan:?}");
    assert_eq!(plan.pending.len(), usize::try_from(plan.to).expect("some"));
    let client = sql(&empty.url).await;
    let query = "SELECT count(*) FROM pg_namespace WHERE nspname = 'bellwire'";
    assert_eq!(number(&client, query).await, 0);
    let refused = database.begin_dump(LOG).await.expect_err("nothing to save");
    assert!(matches!(refused, Error::NotMigrated), "{refused}");

    database.migrate().await.expect("migrated");
    let plan = database.plan().await.expect("a plan");
    assert_eq!((plan.from, plan.mode, plan.pending.len()), (plan.to, kind.mode(), 0));
    let facts = database.facts(Some(LOG)).await.expect("an answer");
    assert_eq!((facts.mode, facts.log), (Some(kind.mode()), None));
    assert_eq!(facts.timescale.installed.is_some(), kind.mode() == Mode::Timescale);
    assert_eq!(facts.timescale.license.is_some(), kind.mode() == Mode::Timescale);
    database.writer(LOG).await.expect("opened");
    let facts = database.facts(Some(LOG)).await.expect("an answer");
    assert_eq!(facts.log, Some((LogPosition(0), LogPosition(0))));
}

async fn a_dump_has_what_was_committed_when_it_began(kind: Kind) {
    let made = kind.database().await;
    let (database, client) = open(&made).await;
    let names = names(1, 1);
    let (mut writer, _) = database.writer(LOG).await.expect("opened");
    let mut compactor = database.compactor();
    writer.write(&batch(0, 10, readings(0, 50)), &names).await.expect("stored");
    // Some carried over, some fresh.
    compactor.run().await.expect("carried over");
    writer.write(&batch(10, 20, readings(50, 50)), &names).await.expect("stored");
    let dump = database.begin_dump(LOG).await.expect("held");
    assert_eq!(dump.saved().position, LogPosition(20));
    writer.write(&batch(20, 30, readings(100, 50)), &names).await.expect("stored");
    // While it is held, nothing that it sees is emptied.
    compactor.run().await.expect("carried over");
    writer.write(&batch(30, 40, readings(150, 50)), &names).await.expect("stored");
    compactor.run().await.expect("carried over or waiting");
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("dump");
    let saved = dump.write(&dir).await.expect("written");
    assert_eq!(tally(&client).await, (200, 200));
    assert_eq!(saved.mode, kind.mode());

    let refused = database.restore_dump(&dir, &saved).await.expect_err("it has tables");
    assert!(matches!(refused, Error::NotEmpty { .. }), "{refused}");
    let (restored, client) = open(&kind.empty_database().await).await;
    restored.restore_dump(&dir, &saved).await.expect("restored");
    assert_eq!(tally(&client).await, (100, 100));
    let rollup = "SELECT coalesce(sum(count), 0)::int8 FROM readings_1d";
    assert_eq!(number(&client, rollup).await, 50, "what was carried over");
    // Life goes on: writing, carrying over, and policies where there are any.
    let (mut writer, opened) = restored.writer(LOG).await.expect("opened");
    assert_eq!(opened.position, LogPosition(20));
    writer.write(&batch(20, 30, readings(100, 50)), &names).await.expect("stored");
    let mut compactor = restored.compactor();
    compactor.run().await.expect("carried over");
    restored.upkeep().await.expect("kept up");
    writer.write(&batch(30, 40, readings(150, 50)), &names).await.expect("stored");
    compactor.run().await.expect("carried over");
    assert_eq!(tally(&client).await, (200, 200));
    assert_eq!(number(&client, rollup).await, 200);
}
