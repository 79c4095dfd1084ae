//! Text of others on a terminal.

use std::borrow::Cow;

/// `text` without what would steer a terminal; all else stays as it was written.
pub fn shown(text: &str) -> Cow<'_, str> {
    match text.contains(char::is_control) {
        false => text.into(),
        true => {
            let escape = |char: char| match char.is_control() {
                true => char.escape_default().to_string(),
                false => char.to_string(),
            };
            text.chars().map(escape).collect::<String>().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_steers_is_escaped() {
        assert_eq!(shown("can't say \"ü\""), "can't say \"ü\"");
        assert_eq!(shown("\u{1b}[2J can't\n"), "\\u{1b}[2J can't\\n");
    }
}
