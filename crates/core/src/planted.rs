//! The bank of planted bugs: mistakes that the simulator has to notice, one of them at a time.
//!
//! Each is one that a well-known system had, or that a careless change here could bring. They are
//! there only with the feature `planted`, which nothing but the simulator's own trial turns on;
//! without it `planted` is a constant `false`, and no bug is compiled. The list with what it takes
//! to notice each is in `docs/planted-bugs.md`.

macro_rules! bank {
    ($($(#[doc = $what:literal])+ $bug:ident = $name:literal,)+) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Planted {
            $($(#[doc = $what])+ $bug,)+
        }

        impl Planted {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$bug),+];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)+
                }
            }

            /// What it does.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$bug => concat!($($what),+).trim_ascii(),)+
                }
            }
        }
    };
}

bank! {
    // Which write wins.
    /// Of two writes at the same time, the first to arrive stays: epochs are not compared.
    TieBreakDropped = "tie-break-dropped",
    /// The last write to arrive wins, whatever the stamps say.
    LastArrivalWins = "last-arrival-wins",
    /// A delete beats a newer value.
    DeleteBeatsNewer = "delete-beats-newer",
    /// A delete removes the row and leaves no tombstone.
    NoTombstone = "no-tombstone",
    /// A write is not stamped above the record that it overwrites.
    StampBelowOverwritten = "stamp-below-overwritten",
    /// Records that exceed the size limit are dropped when they arrive from a peer.
    QuotaOnMerge = "quota-on-merge",

    // Clocks and epochs.
    /// Stamps are not reserved on disk ahead of their use.
    ReservationNotStored = "reservation-not-stored",
    /// A start forgets the reserved stamps and goes on from the wall clock.
    ReservationForgotten = "reservation-forgotten",
    /// A start goes on under the epoch of the one before.
    EpochReused = "epoch-reused",
    /// An epoch is the second of the start instead of a random number.
    EpochFromClock = "epoch-from-clock",

    // What a copy says of itself.
    /// The state is not in the batch of the pushed records that it describes.
    StateNotStaged = "state-not-staged",
    /// The log has no row for three records of four.
    LogRowNotWritten = "log-row-not-written",
    /// The log row of an overwritten record stays.
    LogRowKept = "log-row-kept",
    /// A digest keeps the element of a record that was deleted.
    DigestKeepsDeleted = "digest-keeps-deleted",
    /// An overwritten value still counts toward the size.
    SizeOnlyGrows = "size-only-grows",
    /// A write that is refused for its size is not rolled back.
    NoRollBack = "no-roll-back",
    /// Nothing is recomputed after an unclean stop.
    ScrubSkipped = "scrub-skipped",

    // The vector.
    /// A push with a gap before it moves the vector.
    VectorOverGap = "vector-over-gap",
    /// A pending interval settles while the one record before it is still missing.
    SettleOffByOne = "settle-off-by-one",
    /// The highest sequence seen counts as everything below it.
    HighestSeenCovers = "highest-seen-covers",

    // Pull.
    /// The first chunk of an answer carries the vector of all of it.
    VectorWithFirstChunk = "vector-with-first-chunk",
    /// A chunk that was lost on the way is not missed.
    LostChunkIgnored = "lost-chunk-ignored",
    /// An answer carries the vector of its end with the rows of its beginning.
    VectorAfterSnapshot = "vector-after-snapshot",
    /// Pending intervals are kept whatever their number.
    PendingUnbounded = "pending-unbounded",
    /// An answer leaves out the rows above the vector of who answers.
    LooseRowsNotAnswered = "loose-rows-not-answered",
    /// A pull that is overdue stays where it is.
    PullNeverGivenUp = "pull-never-given-up",

    // Acknowledgements.
    /// A push is acknowledged although the commit failed.
    AcknowledgedBeforeCommit = "acknowledged-before-commit",
    /// A push with a gap before it acknowledges everything up to it.
    GapAcknowledged = "gap-acknowledged",
    /// A write counts as synced before the disk has it.
    SyncedEarlyHere = "synced-early-here",
    /// A peer says that a push is synced before its disk has it.
    SyncedEarlyThere = "synced-early-there",
    /// A buffered acknowledgement satisfies a write that wants synced ones.
    BufferedCountsAsSynced = "buffered-counts-as-synced",
    /// The holder that accepts a write counts as two.
    OwnCopyCountsTwice = "own-copy-counts-twice",
    /// What is acknowledged is offered on and on.
    OfferedForEver = "offered-for-ever",

    // Compare and repair.
    /// Summaries do not see the vector.
    SummaryWithoutVector = "summary-without-vector",
    /// Summaries do not see the digest.
    SummaryWithoutDigest = "summary-without-digest",
    /// One bucket in eight is never compared.
    BucketIgnored = "bucket-ignored",
    /// The self-check leaves out records that the vector covers.
    RepairSkipsCovered = "repair-skips-covered",

    // Collected tombstones.
    /// Tombstones are collected whatever the other holders have.
    CollectedUnasked = "collected-unasked",
    /// Tombstones are collected while one of the holders is away.
    CollectedWithoutTheAway = "collected-without-the-away",
    /// A collected tombstone does not raise the floor.
    FloorStays = "floor-stays",
    /// Whoever is below the floor is answered from the log.
    AnsweredBelowFloor = "answered-below-floor",
    /// A compare below the floor drops whatever the other side does not have.
    NewsDropped = "news-dropped",
    /// A compare below the floor drops nothing.
    NothingDropped = "nothing-dropped",
    /// A write that arrives late for a key that was deleted is dropped.
    LateWriteDropped = "late-write-dropped",
    /// A holder that never comes back counts for ever.
    DeadCountForEver = "dead-count-for-ever",

    // Dropped databases.
    /// A copy of a database that was dropped elsewhere stays.
    DroppedCopyStays = "dropped-copy-stays",
    /// Messages about a dropped generation are taken for the present one.
    GenerationIgnored = "generation-ignored",

    // Requests.
    /// A request that arrives twice is done twice.
    RequestDoneTwice = "request-done-twice",
    /// A write that is asked for again, since the connection broke, is done again.
    AnswerForgotten = "answer-forgotten",
    /// A forwarded write is sent to another holder when the connection breaks.
    WriteSentAgain = "write-sent-again",
    /// A forwarded write whose fate nobody knows is said not to have happened.
    UnknownSaidRefused = "unknown-said-refused",
    /// An answer is taken for that of the oldest request to the peer.
    AnswerToAnother = "answer-to-another",
    /// Fragments of a message are put together although one between them was lost.
    FragmentLost = "fragment-lost",

    // Watches.
    /// A watch that goes on is not told what came meanwhile.
    ResumedWithAGap = "resumed-with-a-gap",
    /// A watch tells of records that lost.
    WatchTellsLosers = "watch-tells-losers",

    // Placement.
    /// An invited peer is a complete copy before it pulled anything.
    JoinerNotFilled = "joiner-not-filled",
    /// A refused pull completes a joining copy.
    JoinedByRefusal = "joined-by-refusal",
    /// Reads are answered by a copy that still joins.
    ReadsWhileJoining = "reads-while-joining",
    /// A peer that lost its disk remains a complete copy for the directory.
    WipedHolderStays = "wiped-holder-stays",
    /// Holders that went away are never replaced.
    NeverReplaced = "never-replaced",
    /// A copy is gone once one keeper said that it stays.
    OneKeeperIsEnough = "one-keeper-is-enough",
    /// A start reads of a state only what changed since its base.
    BaseIgnored = "base-ignored",
    /// What a pull leaves out of its vector is taken for what the answering copy has there.
    OutlineUnchecked = "outline-unchecked",
    /// An increment forgets what its epoch had added before.
    SumForgotten = "sum-forgotten",
    /// Increments from before a put or a delete still count after it.
    PastSumsCount = "past-sums-count",
    /// What a counter's epoch added is taken in, and acknowledged, without the counter.
    SumsWithoutCounter = "sums-without-counter",
    /// Expired entries are swept by a clock that is known to be off.
    SweptByWrongClock = "swept-by-wrong-clock",
    /// Reads show entries that have expired.
    ExpiredShown = "expired-shown",
    /// An expired entry is swept above whatever was written over it meanwhile.
    SweptAboveAll = "swept-above-all",
    /// A copy that another peer is to take over is gone before that one has it.
    MovedTooEarly = "moved-too-early",
    /// Where only joiners are left, none of them becomes a complete copy.
    OrphansLeftAlone = "orphans-left-alone",
}

#[cfg(feature = "planted")]
static PLANTED: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// Plants a bug in every node of this process, in place of the one before; `None`: in none.
#[cfg(feature = "planted")]
pub fn plant(which: Option<Planted>) {
    let number = which.map_or(0, |which| which as u8 + 1);
    PLANTED.store(number, core::sync::atomic::Ordering::Relaxed);
}

/// Whether this bug is planted.
#[cfg(feature = "planted")]
pub(crate) fn planted(which: Planted) -> bool {
    PLANTED.load(core::sync::atomic::Ordering::Relaxed) == which as u8 + 1
}

/// Whether this bug is planted: none is, without the feature.
#[cfg(not(feature = "planted"))]
pub(crate) const fn planted(_which: Planted) -> bool {
    false
}
