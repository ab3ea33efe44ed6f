//! Attacks by number: more connections than there are descriptors, and a thousand new ones a second.
//!
//! They are weighed by the processor time of the server, so one server suffers at a time.

use super::client;
use super::figures::Figure;
use super::under_load::{Confines, UnderLoad};
use super::{Outcome, Plan, in_turns};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Descriptors that the server has.
const DESCRIPTORS: u64 = 64;
/// Connections that are held: about twice as many, so that the kernel's queue holds some, too.
const HELD: usize = 120;
/// Time for which its processor time is taken: less than our head deadline, which would relieve it.
const EXHAUSTED: Duration = Duration::from_secs(3);
/// Longest time that we wait for a scrape to succeed after all are gone.
const RECOVERY: Duration = Duration::from_secs(5);

/// New connections a second.
const FLOOD_RATE: f64 = 1000.0;
/// Connections that the flood holds at most; it closes its oldest.
const FLOOD_HELD: usize = 300;
/// Duration of the flood.
const FLOOD: Duration = Duration::from_secs(6);
/// Time between two scrapes meanwhile.
const SCRAPE_EVERY: Duration = Duration::from_millis(50);

pub(super) fn no_descriptors(plan: &Plan) -> Outcome<Vec<Figure>> {
    let wait = if plan.quick { EXHAUSTED / 3 } else { EXHAUSTED };
    let rows = in_turns(|server| {
        let confines = Confines { descriptors: Some(DESCRIPTORS), cpu: None };
        let under_load = UnderLoad::start(server, confines)?;
        let connect = |_| client::connect(under_load.address, Duration::from_secs(2)).ok();
        let held: Vec<_> = (0..HELD).filter_map(connect).collect();
        let (begin, cpu) = (Instant::now(), under_load.cpu_seconds()?);
        thread::sleep(wait);
        let share = (under_load.cpu_seconds()? - cpu) / begin.elapsed().as_secs_f64() * 100.0;
        let meanwhile =
            (0..5).filter(|_| under_load.try_scrape(Duration::from_millis(500)).is_some());
        let meanwhile = meanwhile.count();
        drop(held);
        let begin = Instant::now();
        let recovered = loop {
            if under_load.try_scrape(Duration::from_secs(1)).is_some() {
                break Some(begin.elapsed().as_secs_f64());
            }
            if begin.elapsed() > RECOVERY {
                break None;
            }
            thread::sleep(Duration::from_millis(10));
        };
        let figure =
            |figure: String, value| Figure { attack: "descriptors", figure, server, value };
        Ok(vec![
            figure(
                format!("{HELD} connections with {DESCRIPTORS} descriptors: % of a processor"),
                Some(share),
            ),
            figure("scrapes that succeed meanwhile, of 5".into(), Some(meanwhile as f64)),
            figure("first scrape after they are gone, s".into(), recovered),
        ])
    })?;
    Ok(rows.concat())
}

pub(super) fn flood(plan: &Plan) -> Outcome<Vec<Figure>> {
    let wait = if plan.quick { FLOOD / 6 } else { FLOOD };
    let rows = in_turns(|server| {
        let under_load = UnderLoad::start(server, Confines::default())?;
        let (memory, cpu) = (under_load.memory_kib()?, under_load.cpu_seconds()?);
        let (begin, over) = (Instant::now(), AtomicBool::new(false));
        let (mut times, mut tried) = (Vec::new(), 0);
        let mut descriptors = 0.0;
        let connects = thread::scope(|scope| -> Outcome<usize> {
            let flood = scope.spawn(|| hold_and_renew(&under_load, &over));
            while begin.elapsed() < wait {
                times.extend(under_load.try_scrape(Duration::from_secs(2)));
                tried += 1;
                descriptors = f64::max(descriptors, under_load.descriptors().unwrap_or_default());
                thread::sleep(SCRAPE_EVERY);
            }
            over.store(true, Ordering::Relaxed); // The flag is the whole message.
            flood.join().map_err(|_| "the flood panicked".into())
        })?;
        let seconds = begin.elapsed().as_secs_f64();
        times.sort_unstable_by(f64::total_cmp);
        let figure =
            |figure: &str, value| Figure { attack: "flood", figure: figure.into(), server, value };
        Ok(vec![
            figure("flood: new connections a second", Some((connects as f64 / seconds).round())),
            figure("scrapes that succeed, %", Some(times.len() as f64 / f64::from(tried) * 100.0)),
            figure("a scrape meanwhile, p99 ms", times.get(times.len() * 99 / 100).copied()),
            figure("descriptors at most", Some(descriptors)),
            figure("% of a processor", Some((under_load.cpu_seconds()? - cpu) / seconds * 100.0)),
            figure("memory afterwards, KiB more", Some(under_load.memory_kib()? - memory)),
        ])
    })?;
    Ok(rows.concat())
}

/// Connects at its rate until it is over; tells how often.
fn hold_and_renew(under_load: &UnderLoad, over: &AtomicBool) -> usize {
    let (mut connects, mut held) = (0, VecDeque::new());
    let begin = Instant::now();
    while !over.load(Ordering::Relaxed) {
        // By the clock, not by pauses: a pause is longer than asked for on a busy machine.
        if connects as f64 >= begin.elapsed().as_secs_f64() * FLOOD_RATE {
            thread::sleep(Duration::from_micros(500));
            continue;
        }
        held.extend(client::connect(under_load.address, Duration::from_secs(1)));
        connects += 1;
        if held.len() > FLOOD_HELD {
            held.pop_front();
        }
    }
    connects
}
