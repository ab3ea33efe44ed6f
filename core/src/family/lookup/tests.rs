use super::*;
use crate::{Counter, Family, Opts, Registry};

fn family(series_max: usize) -> Family<Counter, 2> {
    let opts = Opts::new("lookups_total", "").series_max(series_max);
    Registry::new().counter_family(opts, ["model", "endpoint"]).unwrap()
}

#[test]
fn a_string_that_changes_at_its_address_finds_its_own_series() {
    let family = family(10);
    let mut model = String::from("qwen3-0.6b");
    for round in 1..=3 {
        for digit in ["0", "1", "2"] {
            model.replace_range(6..7, digit);
            family.visit([&model, "chat"], Counter::inc);
            assert_eq!(family.with([&model.clone(), "chat"]).get(), round, "{model}");
        }
    }
    assert_eq!(family.len(), 3);
}

#[test]
fn strings_at_the_same_address_or_with_the_same_bytes_are_told_apart() {
    let family = family(100);
    let text = "chat_completions_chat";
    for round in 1..=3 {
        for end in 0..text.len() {
            family.visit([&text[..end], &text[end..]], Counter::inc);
            family.visit([&text[..end], &text[..end]], Counter::inc);
        }
        for end in 1..text.len() {
            assert_eq!(family.with([&text[..end], &text[end..]]).get(), round, "{end}");
            assert_eq!(family.with([&text[..end], &text[..end]]).get(), round, "{end}");
        }
    }
}

#[test]
fn families_with_the_same_strings_are_told_apart() {
    let families = [family(10), family(10), family(10)];
    for _ in 0..3 {
        for (n, family) in (1..).zip(&families) {
            family.visit(["m", "e"], |counter| counter.add(n));
        }
    }
    assert_eq!(families.map(|family| family.with(["m", "e"]).get()), [3, 6, 9]);
}

#[test]
fn more_series_than_cache_entries_are_all_found() {
    let family = family(1000);
    let models: Vec<String> = (0..3 * SETS * WAYS).map(|i| format!("model-{i}")).collect();
    for _ in 0..3 {
        models.iter().for_each(|model| family.visit([model, "e"], Counter::inc));
    }
    assert_eq!(family.len(), models.len());
    models.iter().for_each(|model| assert_eq!(family.with([model, "e"]).get(), 3, "{model}"));
}

#[test]
fn a_dropped_family_leaves_nothing_behind_in_any_threads_cache() {
    let cached = || {
        CACHE.with(|cache| cache.entries.iter().filter(|entry| entry.borrow().is_some()).count())
    };
    std::thread::spawn(move || {
        let other = family(10);
        let before = cached();
        let dropped = family(10);
        (0..5).for_each(|i| dropped.visit([&i.to_string(), "e"], Counter::inc));
        assert_eq!(cached(), before + 5);
        // This thread's are gone at once, also if another series of the family is in use further up.
        let elsewhere = dropped.clone();
        let (go, gone) = (std::sync::mpsc::channel::<()>(), std::sync::mpsc::channel::<()>());
        let (tell_go, wait_go) = go;
        let (tell_gone, wait_gone) = gone;
        let thread = std::thread::spawn(move || {
            elsewhere.visit(["1", "e"], Counter::inc);
            let had = cached();
            drop(elsewhere);
            tell_go.send(()).unwrap();
            wait_gone.recv().unwrap();
            // Another thread dropped the last of it: the next lookup that misses sweeps.
            family(10).visit(["new", "e"], Counter::inc);
            (had, cached())
        });
        wait_go.recv().unwrap();
        drop(dropped);
        assert_eq!(cached(), before);
        tell_gone.send(()).unwrap();
        let (had, has) = thread.join().unwrap();
        assert!(had >= 1);
        assert_eq!(has, 0, "and the family that was dropped after it has left nothing, either");
        drop(other);
    })
    .join()
    .unwrap();
}

#[test]
fn series_that_share_a_set_do_not_evict_each_other() {
    // In an empty cache, and in one full of entries that are not looked up any more.
    for cold in [0, 4] {
        let test = move || {
            let family = family(10_000);
            let hash = |model: &str| family.core.hash(&[model, "e"]);
            let mut models: Vec<String> = (0..10_000).map(|i| format!("model-{i}")).collect();
            models.retain(|model| sets(hash(model))[0] == 0);
            // Twice as many as the set has entries, each with a second set of its own.
            let with_second = |set| models.iter().position(|model| sets(hash(model))[1] == set);
            let mut hot: Vec<usize> = (1..SETS).filter_map(with_second).take(2 * WAYS).collect();
            hot.sort_unstable();
            let hot: Vec<String> = hot.iter().rev().map(|&at| models.remove(at)).collect();
            assert_eq!(hot.len(), 2 * WAYS);
            let visit = |model: &String| family.visit([model, "e"], Counter::inc);
            (0..cold).for_each(|_| models.iter().for_each(visit));
            (0..100).for_each(|_| hot.iter().for_each(visit));
            let key = family.core.key.load(Ordering::Relaxed);
            for model in &hot {
                let found = find(key, &[model, "e"], || hash(model), |_: &Counter| ());
                assert!(found.is_ok(), "{model}");
            }
        };
        std::thread::spawn(test).join().unwrap();
    }
}

#[test]
fn visits_within_a_visit_find_their_own() {
    let family = family(1000);
    let models: Vec<String> = (0..SETS * WAYS + 1).map(|i| format!("model-{i}")).collect();
    // Every entry is in use by the time that the last one looks for one to replace.
    fn nest(family: &Family<Counter, 2>, models: &[String]) {
        let Some((model, rest)) = models.split_first() else { return };
        family.visit([model, "e"], |counter| {
            nest(family, rest);
            counter.inc();
        });
    }
    (0..3).for_each(|_| nest(&family, &models));
    models.iter().for_each(|model| assert_eq!(family.with([model, "e"]).get(), 3, "{model}"));
}
