//! What stores do with the fields of a record.

use rocket::futures::future::join_all;

use super::{
    ANSWERS, HOUR, Rule, Trial, all, applied, at, changes, create, exchange, increment, insert,
    log_in, look, op_field, rotation, status, stranger, update, values,
};
use crate::store::{
    DestroyResult, Op, OpResult, RecordId, RecordStatus, RotateResult, Rotation, Selection,
    TimeToLive, Update, UpdateResult, Values, is_reserved,
};

pub(super) const RULES: &[Rule] = rules![
    created_record_reads_back,
    record_is_not_created_twice,
    operation_on_nothing_leaves_nothing,
    changes_are_made_in_order,
    reads_show_the_record_after_the_changes,
    thousands_of_fields_at_once_are_all_kept,
    exchange_is_made_only_if_the_field_holds_what_was_read,
    refused_exchange_fails_alone,
    only_one_of_many_exchanges_wins,
    clear_deletes_all_fields_of_the_application,
    take_returns_a_field_only_once,
    update_past_the_size_limit_changes_nothing,
    any_text_survives,
];

async fn created_record_reads_back(store: Trial<'_>) {
    let (id, pairs) = (store.record(0), [("a", "1"), ("b", "\"x\"")]);
    create(&*store, id, &pairs).await;
    assert_eq!(all(&*store, id).await, values(&pairs));
    assert_eq!(store.update(store.record(1), &look()).await.expect(ANSWERS), UpdateResult::Gone);
    assert_eq!(store.update(stranger(), &look()).await.expect(ANSWERS), UpdateResult::Gone);
}

async fn record_is_not_created_twice(store: Trial<'_>) {
    create(&*store, store.record(0), &[("a", "1")]).await;
    assert!(
        !store
            .create(store.record(0), &values(&[("a", "2"), ("b", "2")]), HOUR)
            .await
            .expect(ANSWERS)
    );
    assert_eq!(
        all(&*store, store.record(0)).await,
        values(&[("a", "1")]),
        "the record was not changed"
    );
}

async fn operation_on_nothing_leaves_nothing(store: Trial<'_>) {
    let id = store.record(0);
    for ops in changes() {
        for read in [Selection::All, Selection::Some(vec!["a".into()])] {
            let found = store.update(id, &update(&ops, read)).await.expect(ANSWERS);
            assert_eq!(found, UpdateResult::Gone, "{ops:?}");
            assert_eq!(status(&*store, id).await, RecordStatus::Gone, "{ops:?}");
        }
    }
    store.touch(id, at(1_800_000_000), TimeToLive::fixed(HOUR)).await.expect(ANSWERS);
    for rotation in [rotation(id, store.record(1)), log_in(id, store.record(1), "alice")] {
        assert_eq!(store.rotate(&rotation).await.expect(ANSWERS), RotateResult::Gone);
    }
    for user in [None, Some("alice")] {
        assert_eq!(store.destroy(id, user).await.expect(ANSWERS), DestroyResult::Gone);
    }
    let found = store.status(&[id, store.record(1)]).await.expect(ANSWERS);
    assert_eq!(found, [RecordStatus::Gone, RecordStatus::Gone]);
}

async fn changes_are_made_in_order(store: Trial<'_>) {
    let id = store.record(0);
    create(&*store, id, &[("a", "1"), ("d", "1")]).await;
    let ops = [
        insert("b", "5"),
        increment("b", 2),
        increment("c", -3),
        Op::Remove("a".into()),
        insert("d", "true"),
        Op::Take("d".into()),
    ];
    let results = applied(&*store, id, &ops, Selection::Some(vec![])).await.results;
    let expected = [
        OpResult::Done,
        OpResult::Count(7),
        OpResult::Count(-3),
        OpResult::Done,
        OpResult::Done,
        OpResult::Taken(Some("true".into())),
    ];
    assert_eq!(results, expected);
    assert_eq!(all(&*store, id).await, values(&[("b", "7"), ("c", "-3")]));
}

async fn reads_show_the_record_after_the_changes(store: Trial<'_>) {
    let id = store.record(0);
    create(&*store, id, &[("a", "1"), ("c", "3")]).await;
    let seen = applied(&*store, id, &[increment("a", 1), insert("b", "2")], Selection::All).await;
    assert_eq!(seen.fields, values(&[("a", "2"), ("b", "2"), ("c", "3")]));
    let names = Selection::Some(vec!["c".into(), "x".into(), "a".into()]);
    for ops in [&[][..], &[increment("b", 1)], &[insert("b", "1")]] {
        let seen = applied(&*store, id, ops, names.clone()).await;
        assert_eq!(seen.fields, values(&[("a", "2"), ("c", "3")]), "{ops:?}");
    }
}

async fn thousands_of_fields_at_once_are_all_kept(store: Trial<'_>) {
    let id = store.record(0);
    let many = |value: &str, count: usize| -> Values {
        (0..count).map(|at| (format!("field {at}"), value.to_owned())).collect()
    };
    assert!(store.create(id, &many("1", 5000), HOUR).await.expect(ANSWERS));
    assert_eq!(all(&*store, id).await, many("1", 5000));
    let to = RecordId { token_hash: store.record(1).token_hash, ..id };
    let rotation = Rotation { fields: many("2", 10_000), ..log_in(id, to, "alice") };
    assert_eq!(store.rotate(&rotation).await.expect(ANSWERS), RotateResult::Rotated);
    let own = |mut fields: Values| {
        fields.retain(|name, _| !is_reserved(name));
        fields
    };
    assert_eq!(own(all(&*store, to).await), many("2", 10_000));
    let ops: Vec<_> = many("3", 10_000).iter().map(|(name, value)| insert(name, value)).collect();
    let seen = applied(&*store, to, &ops, Selection::All).await;
    assert_eq!(own(seen.fields), many("3", 10_000));
}

async fn exchange_is_made_only_if_the_field_holds_what_was_read(store: Trial<'_>) {
    let id = store.record(0);
    create(&*store, id, &[("a", "1")]).await;
    let cases = [
        (exchange("a", None, "2"), OpResult::Changed(Some("1".into())), Some("1")),
        (exchange("a", Some("01"), "2"), OpResult::Changed(Some("1".into())), Some("1")),
        (exchange("a", Some("1"), "2"), OpResult::Done, Some("2")),
        (exchange("a", Some("1"), "3"), OpResult::Changed(Some("2".into())), Some("2")),
        (exchange("b", Some("1"), "2"), OpResult::Changed(None), None),
        (exchange("b", Some(""), "2"), OpResult::Changed(None), None),
        (exchange("b", None, ""), OpResult::Done, Some("")),
        (exchange("b", Some(""), "4"), OpResult::Done, Some("4")),
    ];
    for (op, result, held) in cases {
        let seen = applied(&*store, id, std::slice::from_ref(&op), Selection::All).await;
        assert_eq!(seen.results, [result], "{op:?}");
        assert_eq!(seen.fields.get(op_field(&op)).map(String::as_str), held, "{op:?}");
    }
}

async fn refused_exchange_fails_alone(store: Trial<'_>) {
    let id = store.record(0);
    create(&*store, id, &[("a", "1")]).await;
    let ops = [insert("a", "2"), exchange("a", Some("1"), "3"), increment("b", 1)];
    let seen = applied(&*store, id, &ops, Selection::All).await;
    let changed = OpResult::Changed(Some("2".into()));
    assert_eq!(seen.results, [OpResult::Done, changed, OpResult::Count(1)]);
    assert_eq!(seen.fields, values(&[("a", "2"), ("b", "1")]));
}

async fn only_one_of_many_exchanges_wins(store: Trial<'_>) {
    let id = store.record(0);
    create(&*store, id, &[("a", "0")]).await;
    let ops: Vec<_> = (1..100).map(|it| exchange("a", Some("0"), &it.to_string())).collect();
    let calls = ops.iter().map(|op| applied(&*store, id, std::slice::from_ref(op), Selection::All));
    let all = join_all(calls).await;
    let won = all.iter().filter(|it| it.results == [OpResult::Done]);
    assert_eq!(won.count(), 1);
}

async fn clear_deletes_all_fields_of_the_application(store: Trial<'_>) {
    let id = store.record(0);
    let many: Vec<_> = (0..2500).map(|it| (format!("field {it}"), it.to_string())).collect();
    let fields: Values = many.into_iter().collect();
    assert!(store.create(id, &fields, HOUR).await.expect(ANSWERS));
    let to = RecordId { token_hash: store.record(1).token_hash, ..id };
    store.rotate(&log_in(id, to, "alice")).await.expect(ANSWERS);
    let login = applied(&*store, to, &[], Selection::All).await.fields.len() - 2500;
    let seen = applied(&*store, to, &[insert("a", "1"), Op::Clear], Selection::All).await;
    assert_eq!(seen.results, [OpResult::Done, OpResult::Done]);
    assert_eq!(seen.fields.len(), login);
    let seen = applied(&*store, to, &[Op::Clear, insert("a", "1")], Selection::All).await;
    assert_eq!(seen.fields.len(), login + 1);
    assert!(matches!(status(&*store, to).await, RecordStatus::Live { user: Some(_), .. }));
}

async fn take_returns_a_field_only_once(store: Trial<'_>) {
    let id = store.record(0);
    create(&*store, id, &[("a", "1")]).await;
    let ops = [Op::Take("a".into())];
    let takers = (0..20).map(|_| applied(&*store, id, &ops, Selection::Some(vec![])));
    let all = join_all(takers).await;
    let count = |wanted: OpResult| all.iter().filter(|it| it.results == [wanted.clone()]).count();
    assert_eq!(count(OpResult::Taken(Some("1".into()))), 1);
    assert_eq!(count(OpResult::Taken(None)), 19);
}

async fn update_past_the_size_limit_changes_nothing(store: Trial<'_>) {
    let id = store.record(0);
    create(&*store, id, &[("a", "1234"), ("n", "7")]).await;
    for (ops, size) in [
        (vec![insert("b", "12345")], 13),
        (vec![insert("a", "1234567890")], 13),
        (vec![increment("count", 1)], 13),
        (vec![increment("n", 1), insert("b", "12345"), Op::Remove("n".into())], 11),
    ] {
        let update = Update { max_size: Some(10), ..update(&ops, Selection::All) };
        let found = store.update(id, &update).await.expect(ANSWERS);
        assert!(matches!(found, UpdateResult::TooLarge(it) if it >= size), "{found:?}");
        assert_eq!(all(&*store, id).await, values(&[("a", "1234"), ("n", "7")]));
    }
    let fits = [insert("b", "12"), Op::Remove("x".into())];
    let update = Update { max_size: Some(10), ..update(&fits, Selection::All) };
    assert!(matches!(store.update(id, &update).await.expect(ANSWERS), UpdateResult::Applied(_)));
}

async fn any_text_survives(store: Trial<'_>) {
    let id = store.record(0);
    let pairs = [("quote\"\r\n\0", "\"\\u0000\""), ("ключ 🗝", "\"значение\""), ("", "")];
    create(&*store, id, &pairs).await;
    assert_eq!(all(&*store, id).await, values(&pairs));
    for (name, value) in pairs {
        applied(&*store, id, &[insert(name, &value.repeat(2))], Selection::All).await;
    }
    let expected = pairs.map(|(name, value)| (name.to_owned(), value.repeat(2)));
    assert_eq!(all(&*store, id).await, Values::from(expected));
}
