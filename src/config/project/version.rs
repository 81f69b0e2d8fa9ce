//! `require-dbt-version`: which versions of dbt a project wants.

use std::cmp::Ordering;

/// The version of dbt that daygrain behaves like; `dbt_version` in Jinja and in artifacts.
pub const DBT_VERSION: &str = "1.11.16";

/// A version that cannot be read: the text that was given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAVersion(pub(super) String);

/// Tells whether [`DBT_VERSION`] meets requirements such as `>=1.0.0`, each one or several with commas.
pub(super) fn satisfies(requirements: &[&str]) -> Result<bool, NotAVersion> {
    let own = Version::parse(DBT_VERSION).expect("our own version is one");
    let mut all = true;
    for requirement in requirements.iter().flat_map(|text| text.split(',')) {
        let requirement = requirement.trim();
        let digits = requirement
            .find(|next: char| !matches!(next, '<' | '>' | '='))
            .unwrap_or(requirement.len());
        let (matcher, version) = requirement.split_at(digits);
        let wanted =
            Version::parse(version.trim()).ok_or_else(|| NotAVersion(requirement.to_owned()))?;
        let order = own.compare(&wanted);
        all &= match matcher {
            "" | "=" => order == Ordering::Equal,
            ">" => order == Ordering::Greater,
            ">=" => order != Ordering::Less,
            "<" => order == Ordering::Less,
            "<=" => order != Ordering::Greater,
            _ => return Err(NotAVersion(requirement.to_owned())),
        };
    }
    Ok(all)
}

struct Version<'a> {
    numbers: [u64; 3],
    prerelease: Option<&'a str>,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Version<'a>> {
        let text = text.split('+').next()?;
        // dbt writes prereleases with and without a hyphen: `1.0.0-rc1`, `1.0.0rc1`.
        let end = text
            .find(|next: char| !next.is_ascii_digit() && next != '.')
            .unwrap_or(text.len());
        let (numbers, rest) = text.split_at(end);
        let mut parts = numbers.split('.').map(str::parse);
        let mut next = || parts.next().and_then(Result::ok);
        let numbers = [next()?, next()?, next()?];
        if parts.next().is_some() {
            return None;
        }
        let rest = rest.strip_prefix('-').unwrap_or(rest);
        Some(Version {
            numbers,
            prerelease: (!rest.is_empty()).then_some(rest),
        })
    }

    fn compare(&self, other: &Version<'_>) -> Ordering {
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| match (self.prerelease, other.prerelease) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(own), Some(other)) => own.cmp(other),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_ranges_of_versions() {
        for text in [
            ">=1.0.0",
            ">=1.3.0,<2.0.0",
            ">= 1.3.0, < 2.0.0",
            "1.11.16",
            "=1.11.16",
            ">1.11.16-rc1",
            ">1.11.16rc1",
            "<=1.11.16",
        ] {
            assert_eq!(satisfies(&[text]), Ok(true), "{text}");
        }
        for text in [
            ">=2.0.0",
            "<1.11.16",
            "1.11.15",
            ">=1.0.0,<1.8.0",
            "<1.11.16-b1",
        ] {
            assert_eq!(satisfies(&[text]), Ok(false), "{text}");
        }
        assert_eq!(satisfies(&[">=1.0.0", "<1.5.0"]), Ok(false));
        for text in ["1.0", "~1.0.0", "", "latest", "=>1.0.0", "1.0.0.0"] {
            assert!(satisfies(&[text]).is_err(), "{text}");
        }
    }
}
