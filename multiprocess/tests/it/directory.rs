//! A directory of a test, and its page.

use dynamo_metrics_multiprocess::{Family, Page, Value};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of a test, which is removed in the end.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("multiprocess-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub(crate) fn page(&self) -> Page {
        Page::read(&self.0).expect("the directory can be read")
    }

    /// Files and their bytes.
    pub(crate) fn size(&self) -> (usize, u64) {
        let entries = std::fs::read_dir(&self.0).unwrap().map(|it| it.unwrap().metadata().unwrap());
        entries.fold((0, 0), |(files, bytes), it| (files + 1, bytes + it.len()))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn family<'p>(page: &'p Page, name: &str) -> Option<&'p Family> {
    page.families.iter().find(|family| family.name == name)
}

/// The value of a counter or gauge without labels, or 0.
pub(crate) fn number(page: &Page, name: &str) -> f64 {
    match family(page, name).map(|family| &family.series[0].value) {
        Some(Value::Number(value)) => *value,
        None => 0.0,
        other => panic!("{name} is {other:?}"),
    }
}
