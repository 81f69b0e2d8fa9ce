//! Records as JSON lines, in dbt's form: `{"data": {..}, "info": {..}}`.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value as Json;

use super::Stamp;
use super::record::Record;

#[derive(Serialize)]
struct Line<'a> {
    data: &'a Json,
    info: Info<'a>,
}

#[derive(Serialize)]
struct Info<'a> {
    category: &'a str,
    code: &'a str,
    extra: serde_json::Map<String, Json>,
    invocation_id: &'a str,
    level: &'a str,
    msg: &'a str,
    name: &'a str,
    pid: u32,
    thread: &'a str,
    ts: String,
}

/// Writes a record as one line.
pub(super) fn write(out: &mut dyn Write, record: &Record, stamp: &Stamp<'_>) -> io::Result<()> {
    let message = anstream::adapter::strip_str(&record.text).to_string();
    let line = Line {
        data: &record.data,
        info: Info {
            category: "",
            code: record.code,
            extra: serde_json::Map::new(),
            invocation_id: stamp.invocation_id,
            level: record.level.as_str(),
            msg: &message,
            name: record.name,
            pid: std::process::id(),
            thread: &record.thread,
            ts: stamp.at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        },
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}
