//! How fast frames move on loopback. Run with `--ignored --nocapture`; the figures depend on the
//! machine, so nothing but completion is asserted.

mod net_support;

use std::time::{Duration, Instant};

use net_support::{Peer, QUIC, TCP};

/// Round trips of small frames one after another, then frames per second in one direction.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn loopback() {
    for listen in [TCP, QUIC] {
        let a = Peer::start(&[listen], &[]).await;
        let b = Peer::start(&[], &a.network.listen_addresses()).await;
        a.until_connected(&b).await;
        b.until_connected(&a).await;

        let mut trips = Vec::new();
        for n in 0..2000_usize {
            let begin = Instant::now();
            assert!(a.network.send(&b.id, vec![1; 100]));
            b.told.until("there", |told| told.frames.get(&a.id).is_some_and(|f| f.len() > n)).await;
            assert!(b.network.send(&a.id, vec![1; 100]));
            a.told.until("back", |told| told.frames.get(&b.id).is_some_and(|f| f.len() > n)).await;
            trips.push(begin.elapsed());
        }
        trips.sort();
        println!(
            "{listen}: round trip median {:?}, 99% {:?}",
            trips[trips.len() / 2],
            trips[trips.len() * 99 / 100]
        );

        let before = processor_time();
        tokio::time::sleep(Duration::from_secs(5)).await;
        println!("{listen}: {} hundredths of a second in 5 idle ones", processor_time() - before);

        for (size, count) in [(100, 500_000_usize), (1024 * 1024, 500)] {
            let already = a.network.counters().frames_sent.frames;
            let begin = Instant::now();
            for _ in 0..count {
                while !a.network.send(&b.id, vec![2; size]) {
                    tokio::time::sleep(Duration::from_micros(200)).await;
                }
            }
            b.told
                .until("all", |told| {
                    told.frames.get(&a.id).is_some_and(|f| f.len() == already as usize + count)
                })
                .await;
            let seconds = begin.elapsed().as_secs_f64();
            println!(
                "{listen}: {count} frames of {size} bytes: {:.0} frames/s, {:.0} MB/s",
                count as f64 / seconds,
                (count * size) as f64 / seconds / 1e6
            );
        }
    }
}

/// The processor time of this process so far, in hundredths of a second; 0 where unknown.
fn processor_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.split_whitespace().skip(13).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}
