//! Every bound on what users hand in, and why it is what it is.

/// Longest key, in bytes: keys are read in every compare and must stay cheap to list.
pub const KEY_MAX: usize = 1024;
/// Longest name of a keyspace, in bytes: it is part of every key in it.
pub const KEYSPACE_MAX: usize = 128;
/// Longest value, in bytes: one value must fit a message and a memtable many times over.
pub const VALUE_MAX: usize = 8 << 20;
/// Longest database path, in bytes.
pub const PATH_MAX: usize = 512;
/// Most bytes of keys and values in a batch of several writes: it is one atomic commit everywhere.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// Most writes in one batch.
pub const BATCH_WRITES_MAX: usize = 10_000;
/// Longest definition or peer name, in bytes.
pub const NAME_MAX: usize = 128;
/// Longest identifier of a definition, in bytes: any CID or URN fits.
pub const IDENTIFIER_MAX: usize = 256;
/// Longest description, in bytes.
pub const DESCRIPTION_MAX: usize = 4096;
/// Most tags of a definition, and the longest tag in bytes.
pub const TAGS_MAX: usize = 64;
/// Longest time to live, in milliseconds: a hundred years, far below the last stamp.
pub const TTL_MAX: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
/// Latest expiry, in milliseconds since the Unix epoch: the end of the year 9999, the last that a date in
/// text can name.
pub const EXPIRES_MAX: u64 = 253_402_300_799_999;
/// Longest matcher, in bytes.
pub const MATCHER_MAX: usize = 1024;
/// Most definitions in a cluster: each open walks the ones that are not exact.
pub const DEFINITIONS_MAX: usize = 10_000;
/// Most copies that a definition may ask for: pushes go to every holder.
pub const COPIES_MAX: u32 = 256;
/// Most rows in one page of a listing.
pub const PAGE_MAX: usize = 10_000;
/// Most bytes of keys and values in one page of a listing, beyond its first row.
pub const PAGE_BYTES_MAX: usize = 4 << 20;
/// Longest pattern of a filter, in bytes: room for any key with every byte escaped.
pub const FILTER_MAX: usize = 4096;
/// Most keys that one page of a listing with a filter looks at: a page is read while others wait.
pub const PAGE_READS_MAX: usize = 10_000;
/// Most bytes of rows that such a page reads, beyond its first row; a filter that is slow counts more.
pub const PAGE_READ_BYTES_MAX: usize = 16 << 20;
/// Most names in one page of keyspaces: each takes a look of its own into the store.
pub const KEYSPACES_PAGE_MAX: usize = 1000;
