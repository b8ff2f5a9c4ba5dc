//! The counters of the peer, by the names that Prometheus users expect.

/// One counter.
pub(super) struct Counter {
    /// Its name in a status.
    pub(super) counted: &'static str,
    /// Its name among the metrics.
    pub(super) metric: &'static str,
    /// What it counts.
    pub(super) help: &'static str,
}

const fn counter(counted: &'static str, metric: &'static str, help: &'static str) -> Counter {
    Counter { counted, metric, help }
}

/// All of them, since the start of the peer.
pub(super) const COUNTERS: &[Counter] = &[
    counter(
        "frame_bytes_sent",
        "tidings_frame_sent_bytes_total",
        "Bytes of frames sent to other peers.",
    ),
    counter(
        "frame_bytes_received",
        "tidings_frame_received_bytes_total",
        "Bytes of frames received from other peers.",
    ),
    counter("frames_sent", "tidings_frames_sent_total", "Frames sent to other peers."),
    counter(
        "frames_received",
        "tidings_frames_received_total",
        "Frames received from other peers.",
    ),
    counter(
        "probe_bytes_sent",
        "tidings_probe_sent_bytes_total",
        "Bytes of membership probes sent to other peers.",
    ),
    counter(
        "probe_bytes_received",
        "tidings_probe_received_bytes_total",
        "Bytes of membership probes received from other peers.",
    ),
    counter(
        "dropped_sends",
        "tidings_dropped_sends_total",
        "Frames and probes that found a full queue or no connection.",
    ),
    counter(
        "authentication_failures",
        "tidings_authentication_failures_total",
        "Connections of peers that did not pass the secret handshake.",
    ),
    counter(
        "refused_connections",
        "tidings_refused_connections_total",
        "Connections of peers beyond the limits.",
    ),
    counter(
        "records_pushed",
        "tidings_records_pushed_total",
        "Records sent to holders as they were written.",
    ),
    counter(
        "records_received",
        "tidings_records_received_total",
        "Records received from other peers.",
    ),
    counter("records_pulled", "tidings_records_pulled_total", "Records asked for to catch up."),
    counter(
        "records_answered",
        "tidings_records_answered_total",
        "Records sent to peers that catch up.",
    ),
    counter(
        "pushes_relayed",
        "tidings_pushes_relayed_total",
        "Records passed on for peers that cannot reach each other.",
    ),
    counter(
        "late_writes",
        "tidings_late_writes_total",
        "Writes that arrived below a floor, after all were thought to be known.",
    ),
    counter("gaps", "tidings_gaps_total", "Losses noticed in what a peer sent."),
    counter("offers", "tidings_offers_total", "Comparisons of vectors with another holder."),
    counter("pulls", "tidings_pulls_total", "Catching up with another holder begun."),
    counter(
        "pulls_outlined",
        "tidings_pulls_outlined_total",
        "Pulls that left out what a long vector says of starts long ago.",
    ),
    counter(
        "outlines_unknown",
        "tidings_outlines_unknown_total",
        "Vectors of pulls that could not be told from their outline and were asked for as a whole.",
    ),
    counter(
        "pulls_given_up",
        "tidings_pulls_given_up_total",
        "Catching up that did not end and is tried again.",
    ),
    counter(
        "pulls_refused",
        "tidings_pulls_refused_total",
        "Catching up that another holder refused.",
    ),
    counter(
        "differences",
        "tidings_differences_total",
        "Comparisons that found another holder ahead or behind.",
    ),
    counter("divergences", "tidings_divergences_total", "Copies that differed at equal vectors."),
    counter(
        "compares_by_key",
        "tidings_compares_by_key_total",
        "Comparisons key by key, after a long absence.",
    ),
    counter(
        "rows_repaired",
        "tidings_rows_repaired_total",
        "Rows put back into a copy that missed them.",
    ),
    counter(
        "rows_dropped",
        "tidings_rows_dropped_total",
        "Rows dropped because they were deleted elsewhere meanwhile.",
    ),
    counter(
        "rows_missing_there",
        "tidings_rows_missing_there_total",
        "Rows that another holder turned out to miss.",
    ),
    counter(
        "log_rows_mended",
        "tidings_log_rows_mended_total",
        "Rows of a log that were put right.",
    ),
    counter("writes_lost", "tidings_writes_lost_total", "Writes that are on no live copy."),
    counter(
        "copies_scrubbed",
        "tidings_copies_scrubbed_total",
        "Copies read again after an unclean stop.",
    ),
    counter(
        "copies_damaged",
        "tidings_copies_damaged_total",
        "Copies whose digest did not fit their rows.",
    ),
    counter(
        "copies_joined",
        "tidings_copies_joined_total",
        "Copies that this peer took and filled.",
    ),
    counter(
        "copies_adopted",
        "tidings_copies_adopted_total",
        "Copies found on disk and taken up again.",
    ),
    counter("copies_left", "tidings_copies_left_total", "Copies given back."),
    counter("copies_removed", "tidings_copies_removed_total", "Copies whose rows were removed."),
    counter("leaves_begun", "tidings_leaves_begun_total", "Hand-overs of a copy begun."),
    counter(
        "leaves_given_up",
        "tidings_leaves_given_up_total",
        "Hand-overs of a copy that were given up.",
    ),
    counter(
        "moves_begun",
        "tidings_moves_begun_total",
        "Moves of a copy to a peer that is preferred for it begun.",
    ),
    counter(
        "databases_created",
        "tidings_databases_created_total",
        "Databases that began at this peer.",
    ),
    counter(
        "databases_dropped",
        "tidings_databases_dropped_total",
        "Databases dropped at this peer.",
    ),
    counter(
        "collections_begun",
        "tidings_collections_begun_total",
        "Rounds of forgetting deletes begun.",
    ),
    counter(
        "tombstones_collected",
        "tidings_tombstones_collected_total",
        "Deletes that are not remembered any more.",
    ),
    counter(
        "entries_expired",
        "tidings_entries_expired_total",
        "Entries that had expired and were swept away.",
    ),
    counter(
        "sums_ended",
        "tidings_sums_ended_total",
        "Sums of counters that were put over or deleted since, and were cleared away.",
    ),
    counter(
        "deletes_told_again",
        "tidings_deletes_told_again_total",
        "Deletes told to a holder that still had what was deleted.",
    ),
    counter(
        "requests_forwarded",
        "tidings_requests_forwarded_total",
        "Requests handed to a holder.",
    ),
    counter(
        "requests_served",
        "tidings_requests_served_total",
        "Requests served for peers without a copy.",
    ),
    counter(
        "requests_again",
        "tidings_requests_again_total",
        "Writes that a holder was asked for once more after the connection to it broke.",
    ),
    counter(
        "clones_seen",
        "tidings_clones_seen_total",
        "Times that two processes were seen under the identity of another peer.",
    ),
    counter(
        "share_rounds",
        "tidings_share_rounds_total",
        "Questions to the other holders for room below a size limit.",
    ),
    counter(
        "requests_repeated",
        "tidings_requests_repeated_total",
        "Requests that arrived a second time and were not served again.",
    ),
    counter(
        "copies_taken_back",
        "tidings_copies_taken_back_total",
        "Copies that had been given back, and whose rows were needed after all.",
    ),
    counter(
        "pulls_repeated",
        "tidings_pulls_repeated_total",
        "Pulls that arrived a second time, or after a later one, and were not answered.",
    ),
    counter(
        "broken_fragments",
        "tidings_broken_fragments_total",
        "Messages in parts that did not fit together.",
    ),
    counter(
        "messages_for_other_copies",
        "tidings_messages_for_other_copies_total",
        "Messages about copies that are not here.",
    ),
    counter(
        "conflicting_stamps",
        "tidings_conflicting_stamps_total",
        "Pairs of values under one stamp.",
    ),
    counter(
        "stamps_ahead",
        "tidings_stamps_ahead_total",
        "Writes stamped further ahead than clocks may differ.",
    ),
    counter(
        "peer_mistakes",
        "tidings_peer_mistakes_total",
        "Messages that no peer of this version sends.",
    ),
    counter(
        "system_rows_ignored",
        "tidings_system_rows_ignored_total",
        "Rows of the system's own database that are not understood here.",
    ),
    counter(
        "system_writes_refused",
        "tidings_system_writes_refused_total",
        "Writes to the system's own database that were refused.",
    ),
];
