//! The kinds of faults, and what each needs to know.

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// The process is killed; everything committed survives.
    Kill,
    /// Power is lost, and with it what was not synced.
    PowerLoss,
    /// Power is lost in the middle of a write.
    Torn,
    /// The peer stops cleanly and starts again.
    CleanStop,
    /// The process stands still for a while.
    Pause,
    /// The disk is emptied; the identity stays.
    Wipe,
    /// The disk goes back to an older image. The first on a peer only keeps the image.
    Rollback,
    /// Rows vanish behind the engine.
    Vanish,
    /// The n-th commit from now fails.
    CommitFails,
    /// The wall clock jumps.
    ClockJump,
    /// Two groups cannot talk to each other.
    Partition,
    /// One direction between two peers is blocked.
    OneWay,
    /// One peer cannot talk to anybody.
    Isolate,
    /// A link goes up and down, near the probe period.
    Flap,
    /// A connection breaks, with what was in flight.
    Reset,
    /// Frames are dropped, as by full queues.
    Loss,
    /// Frames arrive twice.
    Duplicate,
    /// Frames overtake each other.
    Reorder,
    /// A peer reads slowly, in large gulps.
    SlowReader,
    /// Links become slow and narrow.
    Delay,
    /// A definition changes: its numbers of copies, its limit of size.
    Redefine,
    /// A definition is removed, for a while or for good.
    Undefine,
    /// The disk is emptied, and the process comes back as another peer.
    NewIdentity,
    /// All processes but one are killed.
    OnlyOne,
    /// All processes are killed and started again, several times within seconds.
    Storm,
    /// The wall clock runs fast or slow.
    ClockDrift,
    /// The wall clock stands still, and is right again afterwards.
    ClockFreeze,
    /// The process is killed, and its wall clock is off when it starts again.
    ClockRestart,
    /// The disk is full: commits fail until there is room again.
    DiskFull,
    /// The n-th commit from now fails, and all after it for a while, across restarts.
    CommitsFail,
    /// The n-th sync from now fails, and power is lost right after it.
    SyncFails,
    /// The n-th read from now fails.
    ReadFails,
    /// The process is killed in the n-th storage operation from now.
    KillAt,
    /// The disk becomes a copy of another peer's; the identity stays.
    Clone,
    /// Two groups can talk to each other through one peer only.
    Bridge,
    /// A connection breaks in the middle of what is on its way: some arrives, the rest never.
    Truncate,
    /// The peer does harm beside what it rightly does: future stamps, garbage, endless requests,
    /// floods. After that its process starts anew.
    Hostile,
    /// A user drains the peer, and changes their mind after a while.
    Drain,
    /// The process is killed and never starts again. Never among the random faults.
    Die,
    /// Power is lost, and the engine keeps a part of a batch, which none may: a planted bug, to show
    /// that the checkers notice. Never drawn.
    TornWithin,
}

/// The number that a kind of fault needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// None.
    None,
    /// How many rows vanish.
    Rows,
    /// Which commit from now fails.
    Nth,
    /// How often a link goes down.
    Times,
    /// How far apart the gulps of a slow reader are, in microseconds.
    Gulp,
    /// What is added to every latency, in microseconds.
    Delay,
    /// The share of frames, in parts per million.
    Share,
    /// What the wall clock is off from then on, in milliseconds of either sign.
    Offset,
    /// What the wall clock gains from then on, in parts per million of either sign.
    Drift,
    /// How many bytes may still be written.
    Room,
}

impl FaultKind {
    /// Every kind that is drawn, in a fixed order.
    pub const ALL: [Self; 38] = [
        Self::Kill,
        Self::PowerLoss,
        Self::Torn,
        Self::CleanStop,
        Self::Pause,
        Self::Wipe,
        Self::Rollback,
        Self::Vanish,
        Self::CommitFails,
        Self::ClockJump,
        Self::Partition,
        Self::OneWay,
        Self::Isolate,
        Self::Flap,
        Self::Reset,
        Self::Loss,
        Self::Duplicate,
        Self::Reorder,
        Self::SlowReader,
        Self::Delay,
        Self::Redefine,
        Self::Undefine,
        Self::NewIdentity,
        Self::OnlyOne,
        Self::Storm,
        Self::ClockDrift,
        Self::ClockFreeze,
        Self::ClockRestart,
        Self::DiskFull,
        Self::CommitsFail,
        Self::SyncFails,
        Self::ReadFails,
        Self::KillAt,
        Self::Clone,
        Self::Bridge,
        Self::Truncate,
        Self::Hostile,
        Self::Drain,
    ];

    /// So many of the first of them are the common ones.
    pub const COMMON: usize = 20;

    /// Kinds that happen only where a timeline says so.
    pub const TIMELINE_ONLY: [Self; 2] = [Self::Die, Self::TornWithin];

    /// The kind in scenario files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::PowerLoss => "power-loss",
            Self::Torn => "torn",
            Self::CleanStop => "clean-stop",
            Self::Pause => "pause",
            Self::Wipe => "wipe",
            Self::Rollback => "rollback",
            Self::Vanish => "vanish",
            Self::CommitFails => "commit-fails",
            Self::ClockJump => "clock-jump",
            Self::Partition => "partition",
            Self::OneWay => "one-way",
            Self::Isolate => "isolate",
            Self::Flap => "flap",
            Self::Reset => "reset",
            Self::Loss => "loss",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::SlowReader => "slow-reader",
            Self::Delay => "delay",
            Self::Redefine => "redefine",
            Self::Undefine => "undefine",
            Self::NewIdentity => "new-identity",
            Self::OnlyOne => "only-one",
            Self::Storm => "storm",
            Self::ClockDrift => "clock-drift",
            Self::ClockFreeze => "clock-freeze",
            Self::ClockRestart => "clock-restart",
            Self::DiskFull => "disk-full",
            Self::CommitsFail => "commits-fail",
            Self::SyncFails => "sync-fails",
            Self::ReadFails => "read-fails",
            Self::KillAt => "kill-at",
            Self::Clone => "clone",
            Self::Bridge => "bridge",
            Self::Truncate => "truncate",
            Self::Hostile => "hostile",
            Self::Drain => "drain",
            Self::Die => "die",
            Self::TornWithin => "torn-within",
        }
    }

    /// The kind in the counters.
    pub fn name(self) -> String {
        format!("fault {}", self.word())
    }

    /// The number that it needs.
    pub const fn parameter(self) -> Parameter {
        match self {
            Self::Vanish => Parameter::Rows,
            Self::CommitFails
            | Self::CommitsFail
            | Self::SyncFails
            | Self::ReadFails
            | Self::KillAt => Parameter::Nth,
            Self::ClockJump | Self::ClockRestart => Parameter::Offset,
            Self::ClockDrift => Parameter::Drift,
            Self::DiskFull => Parameter::Room,
            Self::Flap | Self::Storm => Parameter::Times,
            Self::Loss | Self::Duplicate | Self::Reorder => Parameter::Share,
            Self::SlowReader => Parameter::Gulp,
            Self::Delay => Parameter::Delay,
            _ => Parameter::None,
        }
    }

    /// Whether it happens to one peer (and not to a group, or to all links).
    pub const fn has_peer(self) -> bool {
        !matches!(
            self,
            Self::Partition
                | Self::Loss
                | Self::Duplicate
                | Self::Reorder
                | Self::Delay
                | Self::Storm
        )
    }

    /// Whether it happens between two peers.
    pub const fn has_other(self) -> bool {
        matches!(self, Self::OneWay | Self::Flap | Self::Reset | Self::Clone | Self::Truncate)
    }

    /// Whether it happens between a group of peers and all others.
    pub const fn has_side(self) -> bool {
        matches!(self, Self::Partition | Self::Bridge)
    }

    /// Whether it happens to a definition.
    pub const fn has_definition(self) -> bool {
        matches!(self, Self::Redefine | Self::Undefine)
    }

    /// Whether it lasts for a time.
    pub const fn has_time(self) -> bool {
        !matches!(
            self,
            Self::CommitFails
                | Self::SyncFails
                | Self::ReadFails
                | Self::ClockJump
                | Self::ClockDrift
                | Self::Flap
                | Self::Reset
                | Self::Truncate
                | Self::Redefine
                | Self::Storm
                | Self::Die
        )
    }

    /// Whether it happens only to a process that runs.
    pub(super) const fn needs_life(self) -> bool {
        matches!(
            self,
            Self::Kill
                | Self::PowerLoss
                | Self::Torn
                | Self::TornWithin
                | Self::CleanStop
                | Self::Pause
                | Self::Wipe
                | Self::Vanish
                | Self::CommitFails
                | Self::NewIdentity
                | Self::OnlyOne
                | Self::ClockRestart
                | Self::DiskFull
                | Self::CommitsFail
                | Self::SyncFails
                | Self::ReadFails
                | Self::KillAt
                | Self::Clone
                | Self::Hostile
        )
    }
}
