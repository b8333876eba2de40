//! Rules about counting.

use rocket::futures::future::join_all;

use super::{
    ANSWERS, Rule, Trial, all, applied, create, increment, increment_within, insert, stranger,
    update, values,
};
use crate::store::{Applied, OpResult, Selection, Update, UpdateResult};

pub(super) const RULES: &[Rule] = rules![
    concurrent_increments_return_different_sums,
    increment_of_text_or_past_64_bits_is_refused_and_changes_nothing,
    counts_keep_all_their_64_bits,
    increment_out_of_its_range_is_refused_and_changes_nothing,
    range_is_exact_beyond_53_bits,
    concurrent_increments_never_leave_their_range,
];

async fn concurrent_increments_return_different_sums(store: Trial<'_>) {
    let id = store.record(0);
    create(&*store, id, &[]).await;
    let ops = [increment("a", 1)];
    let all = join_all((0..500).map(|_| applied(&*store, id, &ops, Selection::All))).await;
    let mut counts: Vec<_> = all.iter().map(|it| it.results[0].clone()).collect();
    counts.sort_by_key(|it| if let OpResult::Count(count) = it { *count } else { 0 });
    assert_eq!(counts, (1..=500).map(OpResult::Count).collect::<Vec<_>>());
    let is_consistent = |it: &Applied| match it.results[..] {
        [OpResult::Count(count)] => it.fields["a"] == count.to_string(),
        _ => false,
    };
    assert!(all.iter().all(is_consistent), "each sees its own count in the record");
}

async fn increment_of_text_or_past_64_bits_is_refused_and_changes_nothing(store: Trial<'_>) {
    let (id, max) = (store.record(0), i64::MAX.to_string());
    let pairs = [("text", "\"x\""), ("float", "1.5"), ("most", &max)];
    create(&*store, id, &pairs).await;
    let ops = [increment("text", 1), increment("float", 1), increment("most", 1)];
    let refused = applied(&*store, id, &ops, Selection::Some(vec![])).await.results;
    let expected = [OpResult::NotAnInteger, OpResult::NotAnInteger, OpResult::OutOfRange];
    assert_eq!(refused, expected);
    for (op, result) in ops.into_iter().zip(expected) {
        let results = applied(&*store, id, &[op], Selection::Some(vec![])).await.results;
        assert_eq!(results, [result]);
    }
    assert_eq!(all(&*store, id).await, values(&pairs));
}

async fn counts_keep_all_their_64_bits(store: Trial<'_>) {
    for start in [i64::MAX - 2, i64::MIN, (1 << 53) - 1, -(1 << 53) - 1] {
        let id = stranger();
        create(&*store, id, &[("n", &start.to_string())]).await;
        let alone = applied(&*store, id, &[increment("n", 1)], Selection::All).await;
        assert_eq!(alone.results, [OpResult::Count(start + 1)]);
        let ops = [increment("n", 1), insert("b", "1")];
        let in_a_batch = applied(&*store, id, &ops, Selection::All).await;
        assert_eq!(in_a_batch.results[0], OpResult::Count(start + 2));
        assert_eq!(in_a_batch.fields["n"], (start + 2).to_string());
    }
}

async fn increment_out_of_its_range_is_refused_and_changes_nothing(store: Trial<'_>) {
    let id = store.record(0);
    create(&*store, id, &[("a", "250"), ("text", "\"x\"")]).await;
    let refused = [
        (increment_within("a", 6, 0..=255), OpResult::OutOfRange),
        (increment_within("a", -251, 0..=255), OpResult::OutOfRange),
        (increment_within("a", i64::MIN, 0..=255), OpResult::OutOfRange),
        (increment_within("a", i64::MAX, 0..=255), OpResult::OutOfRange),
        (increment_within("b", -1, 0..=255), OpResult::OutOfRange),
        (increment_within("b", i64::MIN, -9..=9), OpResult::OutOfRange),
        (increment_within("text", 1, 0..=255), OpResult::NotAnInteger),
    ];
    for (op, result) in refused {
        for max_size in [None, Some(1)] {
            let update =
                Update { max_size, ..update(std::slice::from_ref(&op), Selection::Some(vec![])) };
            match store.update(id, &update).await.expect(ANSWERS) {
                UpdateResult::Applied(applied) => {
                    assert_eq!(applied.results, std::slice::from_ref(&result), "{op:?}");
                }
                other => panic!("{op:?}: {other:?}"),
            }
            assert_eq!(all(&*store, id).await, values(&[("a", "250"), ("text", "\"x\"")]));
        }
    }
    let ops = [
        increment_within("a", 5, 0..=255),
        increment_within("a", 1, 0..=255),
        insert("b", "7"),
        increment_within("b", -8, 0..=255),
        increment_within("b", -7, 0..=255),
    ];
    let seen = applied(&*store, id, &ops, Selection::All).await;
    let expected = [
        OpResult::Count(255),
        OpResult::OutOfRange,
        OpResult::Done,
        OpResult::OutOfRange,
        OpResult::Count(0),
    ];
    assert_eq!(seen.results, expected);
    assert_eq!(seen.fields, values(&[("a", "255"), ("b", "0"), ("text", "\"x\"")]));
}

async fn range_is_exact_beyond_53_bits(store: Trial<'_>) {
    let id = store.record(0);
    let most = (1 << 53) + 1;
    create(&*store, id, &[("up", &most.to_string()), ("down", &(-most).to_string())]).await;
    for (field, by) in [("up", 1), ("down", -1)] {
        let sum = (most + 1) * by;
        for (range, result) in
            [(-most..=most, OpResult::OutOfRange), (-most - 1..=most + 1, OpResult::Count(sum))]
        {
            let ops = [increment_within(field, by, range)];
            let seen = applied(&*store, id, &ops, Selection::Some(vec![])).await;
            assert_eq!(seen.results, [result], "{ops:?}");
        }
    }
}

async fn concurrent_increments_never_leave_their_range(store: Trial<'_>) {
    let id = store.record(0);
    create(&*store, id, &[("n", "90")]).await;
    let (up, down) = ([increment_within("n", 1, 0..=99)], [increment_within("n", -60, 0..=99)]);
    let ops = |at: usize| match at % 4 {
        0 => &[][..],
        1 => &down[..],
        _ => &up[..],
    };
    let calls = (0..100).map(|at| applied(&*store, id, ops(at), Selection::All));
    for seen in join_all(calls).await {
        let held: i64 = seen.fields["n"].parse().expect("the field is a number");
        assert!((0..=99).contains(&held), "{held}");
    }
    let mut last = 0;
    while let [OpResult::Count(sum)] = applied(&*store, id, &up, Selection::All).await.results[..] {
        last = sum;
    }
    assert_eq!(last, 99);
}
