//! Parts that the sections of the page are made of.

use std::fmt::{self, Display, Write};

use crate::fleet::{State, join::Host};

/// Text as it is between tags and in attributes: nothing in it is markup.
pub struct Escaped<'a>(pub &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// Returns the tone that a state is coloured in: `good`, `warn` or `bad`. Its name is always beside it.
pub const fn tone(state: State) -> &'static str {
    match state {
        State::Current => "good",
        State::Behind | State::Unlisted | State::Unknown | State::Tainted => "warn",
        State::Silent | State::Violated | State::Cloned | State::Revoked => "bad",
    }
}

/// A bar of parts of a whole; what they leave is the rest.
pub fn bar(out: &mut String, parts: &[(&str, u64)], whole: u64) -> fmt::Result {
    let share = |count: u64| {
        let tenths = u128::from(count) * 10_000 / u128::from(whole.max(1));
        format!("{}.{:02}%", tenths / 100, tenths % 100)
    };
    out.push_str("<svg aria-hidden=\"true\"><rect class=\"rest\" width=\"100%\" height=\"100%\"/>");
    let mut before = 0;
    for (class, count) in parts {
        let (x, width) = (share(before), share(*count));
        write!(
            out,
            "<rect class=\"{class}\" x=\"{x}\" width=\"{width}\" height=\"100%\"/>"
        )?;
        before += count;
    }
    out.push_str("</svg>");
    Ok(())
}

/// A host, and what there is to say of it.
pub fn host_row(out: &mut String, host: &Host, why: &str) -> fmt::Result {
    let name = host.name.as_deref().unwrap_or_default();
    let parts = [&host.image, &host.version, &host.region, &host.asg];
    let parts = parts
        .into_iter()
        .flatten()
        .map(|part| Escaped(part).to_string());
    writeln!(
        out,
        "<li><div class=\"line\"><span><b>{}</b> {}</span><span class=\"dim\">{}</span></div>{}</li>",
        Escaped(&host.id),
        Escaped(name),
        parts.collect::<Vec<_>>().join(" · "),
        Escaped(why)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_text_is_escaped() {
        let text = Escaped("<script>alert('1')</script>\" onload=x &amp;").to_string();
        assert!(!text.contains(['<', '>', '"', '\'']), "{text}");
        assert!(text.contains("&amp;amp;"), "{text}");
    }

    #[test]
    fn html_bar_widths_are_percentages_of_the_whole() {
        let mut out = String::new();
        bar(&mut out, &[("good", 1), ("bad", 2)], 3).unwrap();
        assert!(out.contains("x=\"33.33%\" width=\"66.66%\""), "{out}");
        let mut none = String::new();
        bar(&mut none, &[], 0).unwrap();
        assert!(none.contains("rest"), "{none}");
    }
}
