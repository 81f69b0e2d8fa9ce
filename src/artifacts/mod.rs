//! dbt's JSON artifacts; nothing else knows their shapes.
//!
//! Each is converted from our own types explicitly, streamed into a buffer and put in place by
//! [`crate::files::write_atomic`]. What a node looks like lives in [`crate::manifest::json`], since
//! templates see it too; the documents around it live here. Nothing here decides what ran or why.

mod manifest;
mod run_results;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::ser::Formatter;

use crate::files::write_atomic;
use crate::secrets::Redactor;

pub use manifest::{ManifestDocument, write_manifest};
pub use run_results::write_run_results;

/// The release of dbt whose artifacts these are; consumers ask for it.
pub const DBT_VERSION: &str = "1.11.16";

/// Variables with this prefix are copied into the artifacts, without it.
const CUSTOM_ENV: &str = "DBT_ENV_CUSTOM_ENV_";

/// What every artifact says of the command that wrote it.
#[derive(Clone, Debug)]
pub struct Invocation<'a> {
    /// What must not be shown.
    pub redactor: Redactor,
    /// `invocation_id`.
    pub id: &'a str,
    /// When the command started.
    pub started_at: Timestamp,
    /// When the artifact is written.
    pub generated_at: Timestamp,
    /// The environment of the command, of which only `DBT_ENV_CUSTOM_ENV_*` is shown.
    pub environment: &'a BTreeMap<String, String>,
}

impl Invocation<'_> {
    /// Writes the entries that all artifacts begin with.
    fn serialize_into<M: SerializeMap>(&self, map: &mut M, schema: &str) -> Result<(), M::Error> {
        map.serialize_entry("dbt_schema_version", schema)?;
        map.serialize_entry("dbt_version", DBT_VERSION)?;
        map.serialize_entry("generated_at", &instant(self.generated_at))?;
        map.serialize_entry("invocation_id", self.id)?;
        map.serialize_entry("invocation_started_at", &instant(self.started_at))?;
        map.serialize_entry("env", &CustomEnv(self.environment))
    }
}

/// Writes a document as JSON on one line, with secrets masked in its texts.
fn write_document(path: &Path, redactor: &Redactor, document: &impl Serialize) -> io::Result<()> {
    let fragments = redactor.for_json_fragments();
    write_atomic(path, |writer| write_json(writer, &fragments, document))
}

/// Writes a value as JSON, with the secrets of `fragments` masked in its texts.
fn write_json(
    writer: impl Write,
    fragments: &Redactor,
    value: &(impl Serialize + ?Sized),
) -> io::Result<()> {
    if fragments.is_empty() {
        return Ok(serde_json::to_writer(writer, value)?);
    }
    let masked = Masked(fragments);
    let mut serializer = serde_json::Serializer::with_formatter(writer, masked);
    Ok(value.serialize(&mut serializer)?)
}

/// Compact JSON whose texts are masked on their way out.
struct Masked<'a>(&'a Redactor);

impl Formatter for Masked<'_> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        writer.write_all(self.0.text(fragment).as_bytes())
    }
}

struct CustomEnv<'a>(&'a BTreeMap<String, String>);

impl Serialize for CustomEnv<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0
                .iter()
                .filter_map(|(name, value)| Some((name.strip_prefix(CUSTOM_ENV)?, value))),
        )
    }
}

/// An instant as dbt writes it: UTC, microseconds, `Z`.
fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_six_digits_of_a_second() {
        let at: Timestamp = "2026-11-22T19:03:13Z".parse().expect("an instant");
        assert_eq!(instant(at), "2026-11-22T19:03:13.000000Z");
    }

    #[test]
    fn only_custom_variables_reach_an_artifact() {
        let environment = BTreeMap::from(
            [("DBT_ENV_CUSTOM_ENV_RUN", "7"), ("PASSWORD", "x")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let json = serde_json::to_string(&CustomEnv(&environment)).expect("text keys");
        assert_eq!(json, r#"{"RUN":"7"}"#);
    }
}
