//! The order of families on the page.

/// Returns the page with counters first, gauges next, and an empty line behind each family.
pub(crate) fn arranged(page: &str) -> String {
    let mut families: Vec<(usize, String)> = Vec::new();
    let mut help = None;
    for line in page.lines() {
        if line.starts_with("# HELP ") {
            help = Some(line);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let of = |end: &str| kind.ends_with(end);
            let rank = if of(" counter") { 0 } else { 1 + usize::from(!of(" gauge")) };
            let help = help.take().map(|help| format!("{help}\n")).unwrap_or_default();
            families.push((rank, format!("{help}{line}\n")));
        } else if let Some((_, family)) = families.last_mut() {
            family.push_str(line);
            family.push('\n');
        }
    }
    families.sort_by_key(|(rank, _)| *rank);
    families.into_iter().map(|(_, family)| family + "\n").collect()
}
