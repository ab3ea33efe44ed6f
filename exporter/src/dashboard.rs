//! The live page: `GET /dashboard`, which reads `/metrics` of the same server and draws what happens.
//!
//! Its sources are in `exporter/dashboard/`, as they are served: modules without a build step. They load nothing from
//! another server, and the page's content security policy forbids it.

use dynamo_metrics_server::StaticPage;
use dynamo_metrics_server::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY,
};

/// The path of the live page.
pub const DASHBOARD_PATH: &str = "/dashboard";

/// Everything from this server only, no inline script or style, no frame around the page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const SCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=utf-8");
const STYLE: HeaderValue = HeaderValue::from_static("text/css; charset=utf-8");

const INDEX: &str = include_str!("../dashboard/index.html");
/// The attribute of the page that says where its metrics are.
const METRICS_ATTRIBUTE: &str = "data-metrics=\"/metrics\"";

macro_rules! files {
    ($($path:literal: $kind:expr, $file:literal;)*) => {
        [$((concat!("/dashboard/", $path), $kind, include_str!(concat!("../dashboard/", $file)))),*]
    };
}

static FILES: [(&str, HeaderValue, &str); 13] = files! {
    "charts.js": SCRIPT, "charts.js";
    "exposition.js": SCRIPT, "exposition.js";
    "format.js": SCRIPT, "format.js";
    "history.js": SCRIPT, "history.js";
    "main.js": SCRIPT, "main.js";
    "panels.js": SCRIPT, "panels.js";
    "quantile.js": SCRIPT, "quantile.js";
    "style.css": STYLE, "style.css";
    "tables.js": SCRIPT, "tables.js";
    "uplot.css": STYLE, "vendor/uplot.css";
    "uplot.js": SCRIPT, "vendor/uplot.js";
    "view.js": SCRIPT, "view.js";
    "window.js": SCRIPT, "window.js";
};

/// Returns the live page and its files, for [`ServerBuilder::page`](dynamo_metrics_server::ServerBuilder::page) or a
/// server of the program's own. `metrics_path` is where the same server has its metrics.
///
/// ```
/// use dynamo_metrics_exporter::{DASHBOARD_PATH, Exporter, Registry, dashboard_pages};
///
/// let exporter = Exporter::new(&Registry::new());
/// let server = dashboard_pages("/metrics").into_iter().fold(exporter.server(), |server, page| server.page(page));
/// let running = server.spawn()?;
/// assert_eq!(DASHBOARD_PATH, "/dashboard");
/// # drop(running);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn dashboard_pages(metrics_path: &str) -> Vec<StaticPage> {
    let path = metrics_path.replace('&', "&amp;").replace('"', "&quot;");
    let index = INDEX.replace(METRICS_ATTRIBUTE, &format!("data-metrics=\"{path}\""));
    let index = page(DASHBOARD_PATH, HTML, index).linked();
    let files = FILES.iter().map(|(path, kind, body)| page(path, kind.clone(), (*body).to_owned()));
    std::iter::once(index).chain(files).collect()
}

fn page(path: &str, kind: HeaderValue, body: String) -> StaticPage {
    StaticPage::new(path, kind, body)
        .header(CONTENT_SECURITY_POLICY, POLICY)
        .header(REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
        // A new version of the program brings a new page.
        .header(CACHE_CONTROL, HeaderValue::from_static("no-cache"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_that_the_page_names_is_served() {
        let served: BTreeSet<_> =
            dashboard_pages("/metrics").iter().map(|page| page.path().to_owned()).collect();
        let named = INDEX.split('"').filter(|text| text.starts_with("dashboard/"));
        let imported = FILES
            .iter()
            .flat_map(|(_, _, body)| body.split('"'))
            .filter_map(|text| text.strip_prefix("./"));
        let named = named.map(|text| format!("/{text}"));
        let imported = imported.map(|text| format!("/dashboard/{text}"));
        for path in
            named.chain(imported).filter(|path| path.ends_with("js") || path.ends_with("css"))
        {
            assert!(served.contains(&path), "{path} is not served");
        }
    }

    #[test]
    fn the_page_reads_the_path_that_the_server_has() {
        let pages = dashboard_pages("/m\"&trics");
        let body = pages[0].response().into_body();
        let html = std::str::from_utf8(&body).expect("UTF-8");
        assert!(html.contains("data-metrics=\"/m&quot;&amp;trics\""), "{html}");
        assert_eq!(pages[0].response().headers()[CONTENT_SECURITY_POLICY], POLICY);
    }

    #[test]
    fn no_file_names_another_server() {
        for (path, _, body) in FILES.iter().filter(|(path, _, _)| !path.contains("uplot")) {
            assert!(!body.contains("://"), "{path}");
        }
    }
}
