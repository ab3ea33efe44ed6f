//! The page at `/`, for people who open the port in a browser: the program's name, and links to the paths.
//!
//! It is rendered once, when the server starts. Off by default: Dynamo's servers answer `/` with 404.

use bytes::Bytes;

/// The contents of the landing page.
///
/// ```
/// use dynamo_metrics_server::LandingPage;
///
/// let page = LandingPage::new("dynamo worker", "0.9.0").description("KV cache & prefill");
/// assert_eq!(page.name(), "dynamo worker");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LandingPage {
    name: String,
    version: String,
    description: String,
}

impl LandingPage {
    /// A page with the program's name and version; any text, escaped when it is rendered.
    #[must_use]
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), description: String::new() }
    }

    /// Adds a sentence below the title.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// The program's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn render(&self, paths: &[&str]) -> Bytes {
        let (name, version) = (escape(&self.name), escape(&self.version));
        let description = match self.description.as_str() {
            "" => String::new(),
            text => format!("<p>{}</p>\n", escape(text)),
        };
        let links: String = paths
            .iter()
            .map(|path| {
                let path = escape(path);
                format!("<li><a href=\"{path}\">{path}</a></li>\n")
            })
            .collect();
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
             <title>{name}</title></head>\n<body>\n<h1>{name} {version}</h1>\n{description}\
             <ul>\n{links}</ul>\n</body>\n</html>\n"
        )
        .into()
    }
}

/// Escapes text, also for attributes in double quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_versions_and_paths_are_escaped() {
        let page = LandingPage::new("<b>", "\"1&2\"").description("</p><script>");
        let html = page.render(&["/metrics", "/a\"b"]);
        let html = std::str::from_utf8(&html).expect("UTF-8");
        assert!(html.contains("<h1>&lt;b&gt; &quot;1&amp;2&quot;</h1>"), "{html}");
        assert!(html.contains("<p>&lt;/p&gt;&lt;script&gt;</p>"), "{html}");
        assert!(html.contains("<a href=\"/a&quot;b\">/a&quot;b</a>"), "{html}");
    }
}
