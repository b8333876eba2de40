//! What visitors do.

use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_oneof};
use proptest::sample::select;

#[derive(Clone, Debug)]
pub enum Step {
    /// A request by a visitor, with the current cookie or an older one, counted back from it.
    Visit { visitor: usize, age: usize, what: What },
    /// This many seconds pass.
    Advance(u64),
    /// The store loses everything.
    Flush,
}

#[derive(Clone, Copy, Debug)]
pub enum What {
    Count(&'static str),
    View(&'static str),
    Peek(&'static str),
    /// Two increments in one batch.
    Pair,
    Set(&'static str),
    Text,
    Take,
    Remove,
    Regenerate,
    Destroy,
    LogIn(&'static str),
    User,
    Sessions(&'static str),
    DestroyAll(&'static str),
}

impl What {
    pub fn path(self) -> String {
        match self {
            Self::Count(item) => format!("/count/{item}"),
            Self::View(item) => format!("/view/{item}"),
            Self::Peek(item) => format!("/peek/{item}"),
            Self::Pair => "/both/pair/nothing".into(),
            Self::Set(value) => format!("/set/t/{value}"),
            Self::Text => "/text/t".into(),
            Self::Take => "/take/t".into(),
            Self::Remove => "/remove/t".into(),
            Self::Regenerate => "/regenerate".into(),
            Self::Destroy => "/destroy".into(),
            Self::LogIn(user) => format!("/log-in/{user}/phone"),
            Self::User => "/user-only".into(),
            Self::Sessions(user) => format!("/sessions/{user}"),
            Self::DestroyAll(user) => format!("/log-out-everywhere/{user}"),
        }
    }
}

pub fn any() -> impl Strategy<Value = Vec<Step>> {
    let item = || select(&["a", "b"][..]);
    let user = || select(&["alice", "bob"][..]);
    let what = prop_oneof![
        3 => item().prop_map(What::Count),
        3 => item().prop_map(What::View),
        2 => item().prop_map(What::Peek),
        2 => item().prop_map(What::Set),
        3 => user().prop_map(What::LogIn),
        1 => user().prop_map(What::Sessions),
        1 => user().prop_map(What::DestroyAll),
        9 => select(&[
            What::Pair,
            What::Text,
            What::Take,
            What::Remove,
            What::Regenerate,
            What::Regenerate,
            What::Destroy,
            What::User,
            What::User,
        ][..]),
    ];
    let age = prop_oneof![3 => 0..1_usize, 2 => 0..4_usize];
    let visit = (0..3_usize, age, what);
    // Both sides of every limit: a tombstone's life, the first timeout, a touch, the idle timeout.
    let seconds = prop_oneof![0..60_u64, 3_500..3_700_u64, 8_600..8_700_u64, 86_300..86_500_u64];
    let step = prop_oneof![
        14 => visit.prop_map(|(visitor, age, what)| Step::Visit { visitor, age, what }),
        3 => seconds.prop_map(Step::Advance),
        1 => (0..8_u8).prop_map(|it| if it == 0 { Step::Flush } else { Step::Advance(1) }),
    ];
    vec(step, 1..50)
}
