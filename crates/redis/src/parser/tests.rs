//! Requests in any pieces, and bytes that are no requests.

use proptest::prelude::*;

use super::*;

/// What a connection would see.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Request(Vec<Vec<u8>>),
    TooLarge(TooLarge),
    Broken(ProtocolError),
}

/// Reads pieces as a connection does: what was answered leaves the buffer, the rest stays at its front.
/// Gives the most bytes that were ever kept, too.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Seen>, usize) {
    let (mut parser, mut buffer) = (Parser::default(), Vec::new());
    let (mut seen, mut most) = (Vec::new(), 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        most = most.max(buffer.len() + parser.arguments.capacity() * size_of::<Place>());
        let mut at = 0;
        loop {
            match parser.next(&buffer[at..]) {
                Ok(Step::More) => break,
                Ok(Step::Skip(length)) => at += length,
                Ok(Step::Request(length)) => {
                    let words = parser.arguments(&buffer[at..]);
                    seen.push(Seen::Request(words.iter().map(<[u8]>::to_vec).collect()));
                    at += length;
                }
                Ok(Step::TooLarge(length, why)) => {
                    seen.push(Seen::TooLarge(why));
                    at += length;
                }
                Err(error) => {
                    seen.push(Seen::Broken(error));
                    return (seen, most);
                }
            }
        }
        buffer.drain(..at);
    }
    (seen, most)
}

fn whole(bytes: &[u8]) -> Vec<Seen> {
    read([bytes]).0
}

fn encoded(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        proptest::collection::vec(proptest::sample::select(b"*$\r\n:0".to_vec()), 0..8),
    ]
}

/// Bytes that come close to the protocol.
fn near_protocol() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => proptest::sample::select(vec![
            "*1\r\n", "*2\r\n", "*3\r\n", "*0\r\n", "*-1\r\n", "$0\r\n", "$1\r\n", "$3\r\n", "\r\n", "GET k\r\n",
            "*40000\r\n", "$9000000\r\n", "$536870913\r\n", "*1048577\r\n", "'a\r\n", "\"", "x", "\n", "\r",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    /// Whatever the pieces, the requests are those that were sent.
    #[test]
    fn any_pieces_give_the_same_requests(
        requests in proptest::collection::vec(proptest::collection::vec(word(), 1..6), 0..8),
        cuts in proptest::collection::vec(any::<usize>(), 0..40),
    ) {
        let bytes: Vec<u8> = requests.iter().flat_map(|words| encoded(words)).collect();
        let expected: Vec<Seen> = requests.into_iter().map(Seen::Request).collect();
        prop_assert_eq!(read(cut(&bytes, &cuts)).0, expected.clone());
        prop_assert_eq!(read(bytes.chunks(1)).0, expected);
    }

    /// Bytes that break the protocol break it alike in any pieces, without a panic, and nothing is kept
    /// beyond what came.
    #[test]
    fn hostile_bytes_are_only_refused(
        bytes in near_protocol(),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        let (seen, most) = read(cut(&bytes, &cuts));
        prop_assert_eq!(&seen, &whole(&bytes));
        prop_assert_eq!(&seen, &read(bytes.chunks(1)).0);
        prop_assert!(most <= bytes.len() + 64 * size_of::<Place>(), "{most} bytes for {}", bytes.len());
    }
}

/// A request of people at a terminal, beside one of a program.
#[test]
fn words_and_arrays_may_follow_each_other() {
    let request =
        |words: &[&str]| Seen::Request(words.iter().map(|word| word.as_bytes().to_vec()).collect());
    let bytes = b"PING\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*0\r\nset 'a b' \"\"\n";
    let expected = [request(&["PING"]), request(&["GET", "k"]), request(&["set", "a b", ""])];
    assert_eq!(whole(bytes), expected);
}

/// What is too large is named, is not kept, and is no end: the next request is read.
#[test]
fn what_is_too_large_passes_by() {
    let after = Seen::Request(vec![b"PING".to_vec()]);
    let long = encoded(&[b"SET".to_vec(), b"k".to_vec(), vec![b'v'; VALUE_MAX + 1]]);
    let many = encoded(&vec![b"k".to_vec(); ARGUMENTS_MAX + 1]);
    let large = encoded(&vec![vec![b'v'; VALUE_MAX]; 4]);
    for (bytes, why) in [
        (long, TooLarge::Argument(VALUE_MAX + 1)),
        (many, TooLarge::Count(ARGUMENTS_MAX + 1)),
        (large, TooLarge::Request(3 * VALUE_MAX)),
    ] {
        let bytes = [bytes, b"PING\r\n".to_vec()].concat();
        let (seen, most) = read(bytes.chunks(10_000));
        assert_eq!(seen, [Seen::TooLarge(why), after.clone()]);
        let bound = if why == TooLarge::Request(3 * VALUE_MAX) { REQUEST_BYTES_MAX } else { 0 };
        assert!(most <= bound + 20_000, "{most} bytes were kept of {why:?}");
        assert_eq!(whole(&bytes), seen);
    }
    let longest = encoded(&[b"SET".to_vec(), b"k".to_vec(), vec![b'v'; VALUE_MAX]]);
    assert!(matches!(whole(&longest)[..], [Seen::Request(_)]));
}

/// Lines without an end are not waited for.
#[test]
fn a_line_has_an_end() {
    let without_end = |start: &str| {
        let bytes = [start.as_bytes(), &vec![b'1'; LINE_MAX + 1]].concat();
        (read(bytes.chunks(1000)).0, whole(&bytes))
    };
    for (start, error) in [
        ("", ProtocolError::InlineTooLong),
        ("*", ProtocolError::CountTooLong),
        ("*1\r\n$", ProtocolError::LengthTooLong),
    ] {
        let expected = vec![Seen::Broken(error)];
        assert_eq!(without_end(start), (expected.clone(), expected), "{start:?}");
    }
}
