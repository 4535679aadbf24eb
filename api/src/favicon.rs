//! The console's favicons: a bell, or how many alerts call and how bad the worst of them is. Drawn
//! here, so that a browser's tab tells it without a `data:` URL, and no file is there per count.

/// Greater counts are shown as `9+`.
const COUNT_MAX: u32 = 9;

const BELL: &str = r##"<path d="M16 6a7 7 0 0 0-7 7v5l-2 4h18l-2-4v-5a7 7 0 0 0-7-7zm-2.5 18a2.5 2.5 0 0 0 5 0z" fill="#fff"/>"##;

/// The picture of a path as `favicon.svg`, `favicon-critical-3.svg` or `favicon-stale.svg`; none
/// if there is no such.
pub(crate) fn drawn(path: &str) -> Option<String> {
    let look = match path {
        // Asked for by browsers that look at no page.
        "favicon.ico" => "",
        _ => path.strip_prefix("favicon")?.strip_suffix(".svg")?,
    };
    let (fill, sign) = match look {
        "" => ("#0f766e", BELL.to_owned()),
        "-stale" => ("#6b7280", text("?")),
        _ => {
            let (severity, count) = look.strip_prefix('-')?.split_once('-')?;
            let fill = match severity {
                "critical" => "#d1242f",
                "warning" => "#9a6700",
                _ => return None,
            };
            (fill, text(&label(count.parse().ok()?)))
        }
    };
    Some(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="{fill}"/>{sign}</svg>"#
    ))
}

fn label(count: u32) -> String {
    if count > COUNT_MAX { format!("{COUNT_MAX}+") } else { count.to_string() }
}

fn text(label: &str) -> String {
    let size = if label.len() > 1 { 19 } else { 23 };
    format!(
        r##"<text x="16" y="24" font-family="sans-serif" font-weight="700" font-size="{size}" fill="#fff" text-anchor="middle">{label}</text>"##
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_and_count_are_drawn_and_nothing_else_is_taken_from_the_path() {
        let drawing = |path: &str| drawn(path).unwrap_or_default();
        assert!(drawing("favicon-critical-3.svg").contains(">3</text>"));
        assert!(drawing("favicon-warning-10.svg").contains(">9+</text>"));
        assert!(drawing("favicon-stale.svg").contains(">?</text>"));
        assert_eq!(drawing("favicon.svg"), drawing("favicon.ico"));
        for wrong in [
            "favicon-critical-<b>.svg",
            "favicon-critical-.svg",
            "favicon-info-1.svg",
            "favicon-critical.svg",
            "favicon-critical-3",
            "assets/favicon.svg",
        ] {
            assert_eq!(drawn(wrong), None, "{wrong}");
        }
    }
}
