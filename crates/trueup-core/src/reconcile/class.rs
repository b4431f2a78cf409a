//! Words for what is found.

/// Declares [`Class`], each with its word and what it means.
macro_rules! classes {
    ($($(#[$doc:meta])* $variant:ident $name:literal $meaning:literal;)*) => {
        /// What became of a cell, or of rows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Class { $($(#[$doc])* $variant,)* }

        impl Class {
            /// Every class.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, for people.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

classes! {
    /// Both sides say the same.
    Match "match" "both sides say the same";
    /// They differ by no more than is tolerated.
    WithinTolerance "within_tolerance" "they differ by no more than is tolerated";
    /// Tokens differ.
    MismatchTokens "mismatch_tokens" "both know of it, and count other tokens";
    /// Requests differ, and tokens do not.
    MismatchRequests "mismatch_requests" "both count the same tokens, and other requests";
    /// Dollars differ.
    MismatchCost "mismatch_cost" "both know of it, and at another price";
    /// The account has nothing of it.
    MissingLocal "missing_local" "the account has nothing of it: who uses these keys?";
    /// The provider has nothing of it.
    MissingProvider "missing_provider"
        "the provider has nothing of it: another organization or key, or a subscription?";
    /// The statement has nothing of it.
    MissingStatement "missing_statement" "the statement has nothing of it";
    /// Only the statement has it.
    ExtraStatement "extra_statement" "only the statement has it";
    /// The account has a whole multiple of it.
    DuplicateLocal "duplicate_local" "the account has it several times over";
    /// It stands on one day for one side and on the next for the other.
    BoundaryShift "boundary_shift" "requests over midnight: one day here, the next there";
    /// The provider may still change what it says.
    Provisional "provisional" "the provider may still change what it says";
    /// The provider has changed what it said after that had settled.
    Restated "restated" "the provider has changed what it once settled";
    /// The account's calls have no known price.
    Unpriced "unpriced" "the account's calls have no known price";
    /// It was paid for by a subscription.
    LaneSubscription "lane_subscription" "paid by a subscription: no provider bills it by use";
    /// The other side was not asked about the day, or did not answer.
    Uncovered "uncovered" "the other side does not tell of this day: was it pulled?";
    /// Rows without usage and without ids, which were left out.
    BlankBucket "blank_bucket" "rows without any usage, left out";
    /// Rows with usage and without any id, which were not.
    BlankMetadataNonzero "blank_metadata_nonzero" "usage without any id, kept";
    /// Usage that belongs to no key.
    UnattributedKey "unattributed_key" "usage that belongs to no key";
    /// A side cannot tell apart what the other does.
    GrainUnsupported "grain_unsupported" "one side cannot tell this apart";
    /// The provider told something in a form that is not known.
    SchemaDrift "schema_drift" "the provider told something in a new form";
}

impl Class {
    /// The class of a word.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|class| class.name() == name)
    }

    /// Whether the sides agree there.
    #[must_use]
    pub const fn is_agreement(self) -> bool {
        matches!(self, Self::Match | Self::WithinTolerance)
    }

    /// Whether it fails a comparison when nothing else is asked for.
    #[must_use]
    pub const fn fails(self) -> bool {
        match self {
            Self::MismatchTokens
            | Self::MismatchRequests
            | Self::MismatchCost
            | Self::MissingLocal
            | Self::MissingProvider
            | Self::MissingStatement
            | Self::ExtraStatement
            | Self::DuplicateLocal
            | Self::Restated => true,
            Self::Match
            | Self::WithinTolerance
            | Self::BoundaryShift
            | Self::Provisional
            | Self::Unpriced
            | Self::LaneSubscription
            | Self::Uncovered
            | Self::BlankBucket
            | Self::BlankMetadataNonzero
            | Self::UnattributedKey
            | Self::GrainUnsupported
            | Self::SchemaDrift => false,
        }
    }
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The same.
    None,
    /// Within what is tolerated, or explained.
    Info,
    /// More than is tolerated in silence.
    Warn,
    /// More than is tolerated at all.
    Fail,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}
