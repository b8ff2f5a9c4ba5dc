//! Backups come back as they were written, and every other one is refused.

use tidings_core::rows::{intern_key, peer_key, state_key};
use tidings_core::store::{MemoryStore, Store as _};
use tidings_core::{ident::DatabaseId, store::Read as _};

use super::*;

const PEER: PeerId = PeerId([7; 32]);

/// A store with rows in every space, long ones and empty ones among them.
fn store() -> MemoryStore {
    let store = MemoryStore::default();
    let mut batch = Origin { peer: PEER, cluster: 3, reserved: Time(5) }.rows();
    for n in 0..3_000_u32 {
        let key = [&[0, 0, 0, 1], n.to_be_bytes().as_slice()].concat();
        batch.put(Space::Data, key.clone(), vec![n as u8; n as usize % 300]);
        batch.put(Space::Log, key, b"k".to_vec());
    }
    batch.put(Space::Data, vec![9; 1_300], vec![1; 1 << 20]);
    batch.put(Space::Meta, intern_key(DatabaseId([1; 16])), vec![1]);
    batch.put(Space::Meta, state_key(1), Vec::new());
    batch.put(Space::Meta, peer_key("drain"), vec![1]);
    store.commit(batch).unwrap();
    store
}

fn written(store: &MemoryStore) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(store, PEER, 17, &mut bytes).unwrap();
    for space in Space::ALL {
        writer.space(store, space, || Ok(())).unwrap();
    }
    let report = writer.finish().unwrap();
    assert_eq!((report.rows, report.bytes), (6_003, bytes.len() as u64));
    bytes
}

fn read(bytes: &[u8]) -> Result<(Vec<Batch>, BackupReport), BackupError> {
    let mut reader = Reader::begin(bytes)?;
    let mut batches = Vec::new();
    let report = read_all(&mut reader, |batch, _| {
        batches.push(batch);
        Ok(())
    })?;
    Ok((batches, report))
}

/// What is read is what was written, row by row, but for the peer's own rows.
#[test]
fn rows_come_back_as_they_were() {
    let store = store();
    let bytes = written(&store);
    let (batches, report) = read(&bytes).unwrap();
    assert_eq!((report.taken, report.peer.as_str()), (17, PEER.to_string().as_str()));
    let again = MemoryStore::default();
    assert!(batches.len() >= 3, "{} blocks", batches.len());
    for batch in batches {
        again.commit(batch).unwrap();
    }
    for space in Space::ALL {
        let all = |store: &MemoryStore| -> Vec<_> {
            let rows = store.range(space, Bound::Unbounded, Bound::Unbounded);
            rows.map(Result::unwrap).filter(|(key, _)| is_copied(space, key)).collect()
        };
        assert_eq!(all(&store), all(&again), "{space:?}");
    }
    assert_eq!(again.get(Space::Meta, &peer_key("drain")).unwrap(), None);
    assert_eq!(again.get(Space::Meta, &peer_key("own")).unwrap(), None);
}

/// The format is what it was: a small backup, byte by byte.
#[test]
fn the_bytes_are_what_they_were() {
    let store = MemoryStore::default();
    store.commit(Origin { peer: PEER, cluster: 3, reserved: Time(5) }.rows()).unwrap();
    let mut batch = Batch::default();
    batch.put(Space::Data, b"key".to_vec(), b"value".to_vec());
    store.commit(batch).unwrap();
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(&store, PEER, 17, &mut bytes).unwrap();
    writer.space(&store, Space::Data, || Ok(())).unwrap();
    writer.finish().unwrap();
    let mut expected = b"tidings backup\n\x01\x23\0\0\0\x01".to_vec();
    expected.extend([7; 32]);
    expected.extend([3, 5, 17, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend(check_of(&expected, 0));
    let begin = expected.len();
    expected.extend([1, 0, 1, 0, 0, 0, 14, 0, 0, 0, 3, 0, 5, 0, 0, 0]);
    expected.extend(b"keyvalue");
    expected.extend(check_of(&expected[begin..], begin as u64));
    expected.extend([2, 1, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend(blake3::hash(&expected).as_bytes());
    assert_eq!(bytes, expected);
}

/// A backup that ends anywhere before its end is refused, and it is said where.
#[test]
fn what_is_cut_off_is_refused() {
    let bytes = written(&store());
    let ends =
        (0..200).chain((200..bytes.len()).step_by(50_021)).chain(bytes.len() - 50..bytes.len());
    for end in ends {
        match read(&bytes[..end]) {
            Err(BackupError::Foreign) => assert!(end < MAGIC.len()),
            Err(BackupError::Truncated { at }) => assert_eq!(at, end as u64),
            other => panic!("cut at {end}: {:?}", other.map(|(_, report)| report)),
        }
    }
}

/// Any byte that is not what was written is noticed, in the part that it is in.
#[test]
fn what_is_damaged_is_refused() {
    let bytes = written(&store());
    let mut copy = bytes.clone();
    let places =
        (0..200).chain((200..bytes.len()).step_by(20_011)).chain(bytes.len() - 50..bytes.len());
    for place in places {
        copy[place] ^= 0x20;
        let error = read(&copy).map(|(_, report)| report).expect_err("it is damaged");
        match error {
            BackupError::Foreign => assert!(place < MAGIC.len()),
            BackupError::Newer { found } => assert_eq!((place, found), (MAGIC.len(), 0x21)),
            BackupError::Damaged { from, upto, .. } => {
                assert!(from <= place as u64 && place as u64 <= upto, "{place}: {from} to {upto}");
            }
            // A length that leads beyond the end.
            BackupError::Truncated { at } => assert_eq!(at, copy.len() as u64),
            other => panic!("byte {place}: {other}"),
        }
        copy[place] ^= 0x20;
    }
    copy.push(0);
    let error = read(&copy).map(|(_, report)| report).expect_err("something follows");
    assert!(error.to_string().contains("something follows its end"), "{error}");
}

/// Blocks in another order are damage, though each is sound by itself.
#[test]
fn blocks_belong_where_they_are() {
    let store = store();
    let bytes = written(&store);
    let mut reader = Reader::begin(bytes.as_slice()).unwrap();
    let mut ends = vec![reader.offset() as usize];
    for _ in 0..2 {
        reader.block().unwrap();
        ends.push(reader.offset() as usize);
    }
    let swapped =
        [&bytes[..ends[0]], &bytes[ends[1]..ends[2]], &bytes[ends[0]..ends[1]], &bytes[ends[2]..]];
    assert!(matches!(read(&swapped.concat()), Err(BackupError::Damaged { .. })));
}
