//! Credentials: what the service learns of changes, and that a provisioning token registers no more
//! devices than it may.

use std::time::Duration;

use bellwire_model::Timestamp;
use bellwire_store::testing::Kind;
use bellwire_store::{
    AccessStore, AccountKind, Error, NewAccount, NewProvisioning, Registered, Rotated, StoredHash,
    on_every_kind,
};

use crate::support::{NOON, device, number, open};

on_every_kind! {
    an_account_is_added_rotated_and_revoked,
    only_what_has_changed_is_read_again,
    a_device_is_registered_once_and_asking_again_is_no_use_of_the_token,
    a_token_that_is_over_registers_nothing,
    a_database_without_the_tables_says_so,
    ; native: devices_that_come_together_share_a_tokens_uses,
    a_connection_that_is_lost_is_made_again,
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(NOON + secs)
}

fn hash(n: u8) -> StoredHash {
    StoredHash([n; 32])
}

fn account(name: &str, kind: AccountKind, n: u8) -> NewAccount {
    let speaks_for = vec!["line-*".to_owned()];
    NewAccount { name: name.to_owned(), kind, speaks_for, hash: Some(hash(n)) }
}

async fn with_token(access: &AccessStore, uses_max: i32) {
    let new = NewProvisioning {
        name: "line".to_owned(),
        hash: hash(9),
        devices: "device-*".to_owned(),
        expires_at: at(100),
        uses_max,
    };
    assert!(access.add_provisioning(&new, at(0)).await.expect("added"));
    assert!(!access.add_provisioning(&new, at(0)).await.expect("asked"), "the name is taken");
}

async fn an_account_is_added_rotated_and_revoked(kind: Kind) {
    let (database, _) = open(&kind.database().await).await;
    let access = database.access();
    let new = account("gate", AccountKind::Device, 1);
    assert!(access.add(&new, at(0)).await.expect("added"));
    assert!(!access.add(&new, at(0)).await.expect("asked"), "it is there");
    let service = account("gate", AccountKind::Service, 2);
    assert!(!access.add(&service, at(0)).await.expect("asked"), "the name is a device's");
    let rows = access.accounts(AccountKind::Device).await.expect("rows");
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].name.as_str(), rows[0].hash), ("gate", Some(hash(1))));
    assert_eq!((&*rows[0].speaks_for[0], rows[0].created_at), ("line-*", at(0).as_micros()));
    assert!(access.accounts(AccountKind::Service).await.expect("rows").is_empty());

    let rotate = async |n, until, now| {
        let new = Rotated { hash: hash(n), previous_until: until };
        let done = access.rotate(AccountKind::Device, "gate", new, now).await.expect("asked");
        let row = access.accounts(AccountKind::Device).await.expect("rows").remove(0);
        (done, row.hash, row.previous)
    };
    let previous = Some((hash(1), at(60).as_micros()));
    assert_eq!(rotate(3, at(60), at(10)).await, (true, Some(hash(3)), previous));
    assert_eq!(rotate(4, at(20), at(20)).await, (true, Some(hash(4)), None), "no grace");
    let other = Rotated { hash: hash(5), previous_until: at(60) };
    assert!(!access.rotate(AccountKind::Service, "gate", other, at(10)).await.expect("asked"));

    assert!(access.revoke(AccountKind::Device, "gate", at(30)).await.expect("revoked"));
    assert!(!access.revoke(AccountKind::Device, "gate", at(30)).await.expect("asked"));
    assert_eq!(rotate(6, at(60), at(31)).await, (false, None, None), "it stays revoked");
    assert!(access.add(&account("gate", AccountKind::Device, 7), at(40)).await.expect("added"));
    let row = access.accounts(AccountKind::Device).await.expect("rows").remove(0);
    assert_eq!((row.hash, row.revoked_at, row.rotated_at), (Some(hash(7)), None, None));
    let barred = NewAccount { hash: None, ..account("barred", AccountKind::Device, 0) };
    assert!(access.add(&barred, at(50)).await.expect("added"));
    let row = access.accounts(AccountKind::Device).await.expect("rows").remove(0);
    assert_eq!((row.name.as_str(), row.revoked_at), ("barred", Some(at(50).as_micros())));
}

async fn only_what_has_changed_is_read_again(kind: Kind) {
    let (database, _) = open(&kind.database().await).await;
    let (access, other) = (database.access(), database.access());
    let first = access.changes(None).await.expect("asked").expect("whole");
    assert!(first.is_whole && first.accounts.is_empty());
    assert!(access.changes(Some(first.revision)).await.expect("asked").is_none());
    for n in 0..3 {
        let new = account(&format!("d-{n}"), AccountKind::Device, n);
        assert!(other.add(&new, at(0)).await.expect("added"));
    }
    let three = access.changes(Some(first.revision)).await.expect("asked").expect("changes");
    assert_eq!((three.is_whole, three.accounts.len()), (false, 3));
    assert!(other.revoke(AccountKind::Device, "d-1", at(1)).await.expect("revoked"));
    assert!(!other.revoke(AccountKind::Device, "d-9", at(1)).await.expect("asked"));
    let one = access.changes(Some(three.revision)).await.expect("asked").expect("changes");
    assert_eq!(one.accounts.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["d-1"]);
    assert_eq!(one.revision, three.revision + 1, "what changes nothing does not count");
    with_token(&other, 1).await;
    let token = access.changes(Some(one.revision)).await.expect("asked").expect("changes");
    assert_eq!((token.accounts.len(), token.provisioning.len()), (0, 1));
    assert!(other.revoke_provisioning("line", at(1)).await.expect("revoked"));
    let none = access.changes(Some(token.revision)).await.expect("asked").expect("changes");
    assert!(none.provisioning.is_empty());
    // A database that is younger than what is known was brought back: everything is read.
    let whole = access.changes(Some(none.revision + 7)).await.expect("asked").expect("whole");
    assert_eq!((whole.is_whole, whole.accounts.len()), (true, 3));
}

async fn a_device_is_registered_once_and_asking_again_is_no_use_of_the_token(kind: Kind) {
    let (database, _) = open(&kind.database().await).await;
    let access = database.access();
    with_token(&access, 2).await;
    let register = async |n, secret| {
        access.register("line", &device(n), hash(secret), at(1)).await.expect("asked")
    };
    assert_eq!(register(1, 1).await, Registered::Yes);
    assert_eq!(register(1, 1).await, Registered::Yes, "the answer was lost");
    assert_eq!(register(1, 2).await, Registered::No, "another secret");
    assert_eq!(register(2, 2).await, Registered::Yes);
    assert_eq!(register(3, 3).await, Registered::No, "used up");
    assert_eq!(register(2, 2).await, Registered::Yes, "known, though it is used up");
    assert_eq!(access.provisioning_tokens().await.expect("rows")[0].uses, 2);
    let rows = access.accounts(AccountKind::Device).await.expect("rows");
    let by: Vec<_> = rows.iter().map(|row| row.provisioned_by.as_deref()).collect();
    assert_eq!(by, [Some("line"), Some("line")]);
    assert!(access.revoke(AccountKind::Device, "device-1", at(2)).await.expect("revoked"));
    assert_eq!(register(1, 1).await, Registered::No, "revoked");
}

async fn a_token_that_is_over_registers_nothing(kind: Kind) {
    let (database, client) = open(&kind.database().await).await;
    let access = database.access();
    with_token(&access, 5).await;
    let late = access.register("line", &device(1), hash(1), at(100)).await.expect("asked");
    assert_eq!(late, Registered::No);
    let unknown = access.register("other", &device(1), hash(1), at(1)).await.expect("asked");
    assert_eq!(unknown, Registered::No);
    assert!(access.revoke_provisioning("line", at(1)).await.expect("revoked"));
    let revoked = access.register("line", &device(1), hash(1), at(1)).await.expect("asked");
    assert_eq!(revoked, Registered::No);
    assert_eq!(number(&client, "SELECT count(*) FROM bellwire.access_account").await, 0);
}

async fn a_database_without_the_tables_says_so(kind: Kind) {
    let database = kind.empty_database().await.open();
    let error = database.access().changes(None).await.expect_err("no tables");
    assert!(matches!(error, Error::NotMigrated), "{error}");
}

async fn devices_that_come_together_share_a_tokens_uses(kind: Kind) {
    let (database, client) = open(&kind.database().await).await;
    with_token(&database.access(), 5).await;
    let stores: Vec<AccessStore> = (0..8).map(|_| database.access()).collect();
    let registering = stores.iter().enumerate().map(|(n, store)| async move {
        let device = device(n);
        store.register("line", &device, hash(1), at(1)).await.expect("asked")
    });
    let registered = futures_util::future::join_all(registering).await;
    assert_eq!(registered.iter().filter(|it| **it == Registered::Yes).count(), 5);
    assert_eq!(number(&client, "SELECT count(*) FROM bellwire.access_account").await, 5);
    assert_eq!(number(&client, "SELECT uses::int8 FROM bellwire.access_provisioning").await, 5);
}

async fn a_connection_that_is_lost_is_made_again(kind: Kind) {
    let (database, client) = open(&kind.database().await).await;
    let access = database.access();
    access.changes(None).await.expect("asked");
    let end = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity \
               WHERE application_name = 'bellwire access' AND datname = current_database()";
    assert_eq!(number(&client, end).await, 1);
    let again = async { while access.changes(None).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(30), again).await.expect("made again");
}
