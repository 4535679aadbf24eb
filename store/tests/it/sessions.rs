//! What each kind of database must keep apart for the other tests to mean something: connections
//! have a user, settings and a transaction of their own, also where they share a
//! session underneath.

use bellwire_store::on_every_kind;
use bellwire_store::testing::Kind;
use tokio_postgres::error::SqlState;

use crate::support::{number, sql, wait_until};

on_every_kind! {
    connections_have_a_user_of_their_own,
    connections_have_settings_of_their_own,
    a_client_that_vanishes_takes_its_transaction_along,
    a_large_answer_arrives_whole,
}

async fn connections_have_a_user_of_their_own(kind: Kind) {
    let database = kind.database().await;
    let owner = sql(&database.url).await;
    let role = format!("reader_{}", std::process::id());
    let grant = format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON devices TO {role}");
    owner.batch_execute(&grant).await.expect("granted");
    let reader = sql(&database.url.replace("//bellwire@", &format!("//{role}@"))).await;
    assert_eq!(number(&reader, "SELECT count(*) FROM devices").await, 0);
    let refused =
        reader.execute("DELETE FROM bellwire.device", &[]).await.expect_err("it may only read");
    assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    owner.execute("DELETE FROM bellwire.device", &[]).await.expect("the owner may");
}

async fn connections_have_settings_of_their_own(kind: Kind) {
    let database = kind.database().await;
    let set = sql(&format!("{}&options=-c%20work_mem%3D5MB", database.url)).await;
    let plain = sql(&database.url).await;
    set.batch_execute("SET statement_timeout = 77000; SET lock_timeout = 88000")
        .await
        .expect("set");
    let query = "SELECT (SELECT setting::int8 FROM pg_settings WHERE name = $1)";
    for (name, ours) in
        [("work_mem", 5_120), ("statement_timeout", 77_000), ("lock_timeout", 88_000)]
    {
        let row = set.query_one(query, &[&name]).await.expect("a row");
        assert_eq!(row.get::<_, i64>(0), ours, "{name}");
        let row = plain.query_one(query, &[&name]).await.expect("a row");
        assert_ne!(row.get::<_, i64>(0), ours, "{name}");
    }
}

async fn a_client_that_vanishes_takes_its_transaction_along(kind: Kind) {
    let database = kind.database().await;
    let stays = sql(&database.url).await;
    let vanishes = sql(&database.url).await;
    let insert = "BEGIN; INSERT INTO bellwire.device (name) VALUES ('half')";
    vanishes.batch_execute(insert).await.expect("inserted");
    drop(vanishes);
    wait_until("the name is free again", || async {
        let insert = "SET lock_timeout = 100; INSERT INTO bellwire.device (name) VALUES ('half')";
        stays.batch_execute(insert).await.is_ok()
    })
    .await;
    assert_eq!(number(&stays, "SELECT count(*) FROM bellwire.device").await, 1);
}

async fn a_large_answer_arrives_whole(kind: Kind) {
    let client = sql(&kind.database().await.url).await;
    let query = "SELECT repeat(chr(65 + n % 26), 1000) FROM generate_series(0, 19999) n";
    let rows = client.query(query, &[]).await.expect("rows");
    assert_eq!(rows.len(), 20_000);
    let whole = |(n, row): (usize, &tokio_postgres::Row)| {
        let letter = char::from(b'A' + u8::try_from(n % 26).expect("small"));
        row.get::<_, &str>(0) == letter.to_string().repeat(1_000)
    };
    assert!(rows.iter().enumerate().all(whole));
}
