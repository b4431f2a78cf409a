//! What is torn, hostile or out of place.

use trueup_clickhouse::{
    Day, Failure, Purpose, Statement, Unkept, UsageQuestion, Width, quoted, schema, upkeep,
};
use trueup_core::{Delivery, Fact, FactId, Key, SessionTotal, UnixMs, Version, Word};

use crate::store::{NOW, Store, Wrong, on_each};
use crate::told::{Dice, HOSTILE, call, id};

/// Of a block that is torn anywhere, nothing is kept, and the answer is no.
#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn a_torn_insert_is_refused_as_a_whole() {
    on_each("torn", |store| {
        let mut dice = Dice(1);
        let words: Vec<_> = (0..50)
            .map(|number| {
                Word::Is(Fact::Call(Box::new(call(&mut dice, id(number, 1), Version::new(NOW, 0)))))
            })
            .collect();
        let delivery = Delivery { device: "laptop".into(), words, ..Delivery::default() };
        let mark = trueup_clickhouse::Mark { receiver: 1, seq: 1 };
        let told = [trueup_clickhouse::Told { tenant: "acme", delivery: &delivery }];
        let flush = trueup_clickhouse::Flush::of(&told, &store.map, Day::FIRST, mark);
        for insert in &flush.facts {
            let rows = insert.statement.rows.as_ref().unwrap();
            for _ in 0..25 {
                let cut = usize::try_from(dice.below(rows.len() as u64 - 1)).unwrap() + 1;
                let torn =
                    Statement { rows: Some(rows[..cut].to_vec()), ..insert.statement.clone() };
                assert!(store.write(insert.shard, &torn).is_err(), "{cut} of {}", rows.len());
            }
        }
        assert_eq!(store.number("SELECT count() AS number FROM llm_event"), 0);
    });
}

/// Whatever is in a text, the engine reads the text and nothing more.
#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn hostile_texts_are_texts() {
    on_each("quoted", |store| {
        let mut dice = Dice(2);
        let mut texts: Vec<String> = HOSTILE.iter().map(|text| (*text).to_owned()).collect();
        let pieces = [
            "'", "\\", "\\'", "''", "\0", "\n", ";", "--", "/*", "*/", "\u{1}", "é", "x41", "{",
            "`", "\"", "N", "\\x", "%27",
        ];
        for _ in 0..300 {
            let length = dice.below(12);
            texts.push((0..length).map(|_| dice.one(&pieces)).collect());
        }
        for texts in texts.chunks(30) {
            let columns: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
            let sql = format!("SELECT arrayJoin([{}]) AS text FORMAT Native", columns.join(", "));
            let statement = Statement { sql, rows: None, purpose: Purpose::Read };
            let mut told = Vec::new();
            store.rows(0, &statement, &mut |row| told.push(row.text("text").unwrap().to_owned()));
            assert_eq!(told, texts);
        }
        // And as the names of tenants, devices and sessions that nobody has.
        for text in &texts[..40] {
            let question = UsageQuestion {
                devices: &[text.as_str()],
                session: Some(text),
                unsummed: &[Day::LAST],
                ..UsageQuestion::of(text, Width::Quarter)
            };
            assert_eq!(store.usage(&question), []);
        }
        assert_eq!(store.number("SELECT count() AS number FROM llm_event"), 0);
    });
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn what_has_no_place_is_refused_with_its_reason() {
    on_each("placeless", |store| {
        store.horizon.set(upkeep::horizon_of(NOW, 2));
        let not = |ms: i64| Word::IsNot {
            id: FactId::new(UnixMs(ms), Key([1; 16])),
            version: Version::new(NOW, 0),
        };
        let claim = Word::Is(Fact::SessionTotal(Box::new(SessionTotal {
            key: Key([1; 16]),
            time: NOW,
            started: None,
            parent: "".into(),
            origin: trueup_core::Origin::default(),
            tokens: trueup_core::Tokens::ZERO,
            reported_cost: None,
        })));
        let words = vec![
            not(0),
            not(5_000_000_000_000),
            not(NOW.0 - 40 * trueup_core::DAY_MS),
            claim,
            not(NOW.0),
        ];
        let delivery = Delivery { device: "laptop".into(), words, ..Delivery::default() };
        let flush = store.keep(&[("acme", &delivery)]).unwrap();
        let reasons: Vec<_> =
            flush.unkept.iter().map(|(_, place, why)| (*place, why.to_string())).collect();
        assert_eq!(
            reasons,
            [
                (0, "its time is not between 1970-01-05 and 2105-12-31"),
                (1, "its time is not between 1970-01-05 and 2105-12-31"),
                (2, "it is of 2026-10-11, and nothing before 2026-11-02 is kept"),
                (3, "estimates of sessions and allowances are not kept for a fleet"),
            ]
            .map(|(place, why)| (place, why.to_owned()))
        );
        assert!(matches!(flush.unkept[3].2, Unkept::Kind));
        assert_eq!(store.number("SELECT count() AS number FROM llm_event"), 1);
    });
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn what_an_engine_refuses_is_told_with_its_number() {
    on_each("refused", |store| {
        let statement =
            |sql: &str| Statement { sql: sql.to_owned(), rows: None, purpose: Purpose::Define };
        for (sql, code) in [("SELECT * FROM nothing", 60), ("SELECT nothing_of_this_name", 47)] {
            match store.write(0, &statement(sql)) {
                Err(Wrong::Failure(Failure { code: told, .. })) => assert_eq!(told, Some(code)),
                other => panic!("{other:?}"),
            }
        }
    });
}

/// Who starts again finds what is there, and shards in another order are found out.
#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn a_store_is_known_again() {
    on_each("again", |store| {
        let address = store.address.to_string();
        assert_eq!(Store::open(&address).map, store.map);
        let mut turned = store.address.clone();
        turned.shards.reverse();
        for shard in 0..turned.shards.len() {
            let place = schema::Place { address: &turned, shard, replica: 0 };
            let mut checked = None;
            let real = turned.shards.len() - 1 - shard;
            store.rows(real, &schema::shard_number(), &mut |row| {
                checked = Some(schema::check_shard(&place, row).unwrap());
            });
            let is_fine = turned.shards.len() == 1;
            assert_eq!(checked.unwrap().is_ok(), is_fine);
        }
        let newer = schema::migrate(
            &schema::Place { address: &store.address, shard: 0, replica: 0 },
            &trueup_clickhouse::Server::unknown(1, 1),
            99,
            NOW,
        );
        assert!(newer.unwrap_err().to_string().contains("use a newer one"));
    });
}
