//! `Debug` of the types that applications put into their own. It shows no data of a visitor.

macro_rules! opaque_debug {
    ($name:literal, $type:ty $(, <$parameter:ident>)?) => {
        impl $(<$parameter>)? std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct($name).finish_non_exhaustive()
            }
        }
    };
}

pub(crate) use opaque_debug;
