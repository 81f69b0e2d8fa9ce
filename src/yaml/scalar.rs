//! Plain scalars as YAML 1.1 reads them, in the way of PyYAML.
//!
//! Dates stay text. `1e5` is text too: YAML 1.1 wants a point, and a sign in the exponent.

use super::YamlValue;

/// Reads a scalar that has neither quotes nor a tag.
pub(super) fn resolve(text: &str) -> YamlValue {
    let Some(&first) = text.as_bytes().first() else {
        return YamlValue::Null;
    };
    let value = match first {
        b'~' | b'n' | b'N' | b'y' | b'Y' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' => word(text),
        b'-' | b'+' | b'.' | b'0'..=b'9' => number(text),
        _ => None,
    };
    value.unwrap_or_else(|| YamlValue::String(text.to_owned()))
}

fn word(text: &str) -> Option<YamlValue> {
    match text {
        "~" | "null" | "Null" | "NULL" => Some(YamlValue::Null),
        _ => boolean(text).map(YamlValue::Bool),
    }
}

/// The words of YAML 1.1 for true and false.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// A number in any of the notations of YAML 1.1: decimal, octal, hexadecimal, binary, sexagesimal.
///
/// Whole numbers beyond 64 bits stay text, so that no digit is lost.
pub(super) fn number(text: &str) -> Option<YamlValue> {
    integer(text)
        .map(|value| value.map_or_else(|| YamlValue::String(text.to_owned()), YamlValue::Int))
        .or_else(|| float(text).map(YamlValue::Float))
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

/// `Some(None)` is a whole number that does not fit.
fn integer(text: &str) -> Option<Option<i64>> {
    let (negative, body) = split_sign(text);
    let (radix, digits) = if let Some(digits) = body.strip_prefix("0b") {
        (2, digits)
    } else if let Some(digits) = body.strip_prefix("0x") {
        (16, digits)
    } else if body.len() > 1 && body.starts_with('0') {
        (8, &body[1..])
    } else if body.contains(':') {
        return sexagesimal(body).map(|value| value.map(|value| sign(negative, value)));
    } else {
        (10, body)
    };
    // The zero before octal digits is a digit itself: `0_` is nothing but zero.
    let mut any = radix == 8;
    for byte in digits.bytes() {
        match byte {
            b'_' => {}
            byte if char::from(byte).is_digit(radix) => any = true,
            _ => return None,
        }
    }
    if !any || (radix == 10 && digits.starts_with('_')) {
        return None;
    }
    let digits = digits.replace('_', "");
    let signed = format!("{}0{digits}", if negative { "-" } else { "" });
    Some(i64::from_str_radix(&signed, radix).ok())
}

fn sign(negative: bool, value: i64) -> i64 {
    if negative { -value } else { value }
}

/// Base 60, such as `1:30` for ninety.
fn sexagesimal(body: &str) -> Option<Option<i64>> {
    let mut parts = body.split(':');
    let first = parts.next()?;
    if !first.starts_with(|first: char| ('1'..='9').contains(&first))
        || !first
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_')
    {
        return None;
    }
    let mut total = first.replace('_', "").parse::<i64>().ok();
    for part in parts {
        let value = sixtieth(part)?;
        total = total
            .and_then(|total| total.checked_mul(60))
            .and_then(|total| total.checked_add(value));
    }
    Some(total)
}

fn sixtieth(part: &str) -> Option<i64> {
    let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let fits = part.len() == 1 || (part.len() == 2 && part.as_bytes()[0] <= b'5');
    if digits && fits {
        part.parse().ok()
    } else {
        None
    }
}

fn float(text: &str) -> Option<f64> {
    let (negative, body) = split_sign(text);
    let value = match body {
        ".inf" | ".Inf" | ".INF" => f64::INFINITY,
        ".nan" | ".NaN" | ".NAN" if body.len() == text.len() => f64::NAN,
        _ => decimal(body, body.len() != text.len())?,
    };
    Some(if negative { -value } else { value })
}

fn decimal(body: &str, signed: bool) -> Option<f64> {
    let (whole, rest) = body.split_once('.')?;
    let digits = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_')
    };
    if whole.contains(':') {
        let whole = sexagesimal(whole)??;
        let fraction = digits(rest).then(|| rest.replace('_', ""))?;
        return format!("{whole}.{fraction}0").parse().ok();
    }
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    if !digits(whole) || !digits(fraction) || whole.starts_with('_') {
        return None;
    }
    if whole.is_empty() && (signed || !fraction.starts_with(|first: char| first.is_ascii_digit())) {
        return None;
    }
    if let Some(exponent) = exponent {
        let power = exponent.strip_prefix(['-', '+'])?;
        if power.is_empty() || !power.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
    }
    body.replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        format!("{:?}", resolve(text))
    }

    #[test]
    fn words_are_booleans_and_nulls_as_in_yaml_1_1() {
        for text in ["yes", "On", "TRUE"] {
            assert_eq!(show(text), "Bool(true)", "{text}");
        }
        for text in ["no", "Off", "FALSE"] {
            assert_eq!(show(text), "Bool(false)", "{text}");
        }
        for text in ["", "~", "null", "NULL"] {
            assert_eq!(show(text), "Null", "{text}");
        }
        for text in ["y", "n", "yEs", "none", "None", "nil", "orders"] {
            assert_eq!(show(text), format!("String({text:?})"));
        }
    }

    #[test]
    fn numbers_have_every_notation() {
        for (text, value) in [
            ("0", 0),
            ("12", 12),
            ("-7", -7),
            ("+7", 7),
            ("1_000", 1000),
            ("010", 8),
            ("0_", 0),
            ("0x1F", 31),
            ("0b101", 5),
            ("1:30", 90),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(show(text), format!("Int({value})"), "{text}");
        }
        for (text, value) in [
            ("1.5", 1.5),
            (".5", 0.5),
            ("1.", 1.0),
            ("-1.5e+3", -1500.0),
            ("1:30.5", 90.5),
            ("08.5", 8.5),
        ] {
            assert_eq!(show(text), format!("Float({value:?})"), "{text}");
        }
        assert_eq!(show("-.inf"), "Float(-inf)");
    }

    #[test]
    fn what_only_looks_like_a_number_stays_text() {
        for text in [
            "1e5",
            "1.5e3",
            "08",
            "0o17",
            "2024-01-31",
            "1.11.16",
            "-",
            "+",
            ".",
            "1:99",
            "0x",
            "1,5",
            "-.5",
            "12345678901234567890",
        ] {
            assert_eq!(show(text), format!("String({text:?})"));
        }
    }
}
