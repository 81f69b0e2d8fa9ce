//! What a source's table says of its files: `external`, its columns and its partition's field.

use serde_json::Value as Json;

use super::pattern::{self, Pattern, PatternFault};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::dialect::Dialect;
use crate::manifest::Source;
use crate::source::Span;

/// A table whose rows are files.
#[derive(Clone, Debug)]
pub struct FileSource {
    /// Source and table, such as `landing.orders`.
    pub name: String,
    /// Where the files are.
    pub location: Location,
    /// The place in a stage that the target copies them from; `None` where their rows are handed over.
    pub stage: Option<Stage>,
    /// What they are.
    pub format: Format,
    /// The columns of the table, in order; the partition's field is among them.
    pub columns: Vec<FileColumn>,
    /// The place of the partition's field in [`FileSource::columns`].
    pub field: usize,
    /// What the placeholder of the location stands for.
    pub cut: Cut,
    /// What a column of a file that is not declared means.
    pub extra_columns: ExtraColumns,
    /// The place of the declaration.
    pub span: Span,
}

/// What the placeholder of a location stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A partition, which is a period of time.
    Partition,
    /// A batch, which has any name.
    Batch,
}

impl Cut {
    /// The word of messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Cut::Partition => "partition",
            Cut::Batch => "batch",
        }
    }
}

/// Where files are.
#[derive(Clone, Debug)]
pub struct Location {
    /// As it was written.
    pub text: String,
    /// The bucket; `None` for folders, whose pattern is below the project's root or absolute.
    pub bucket: Option<String>,
    /// The pattern of the paths in there.
    pub pattern: Pattern,
}

impl Location {
    /// What a file's path adds to the folders that come before the pattern's first variable part.
    pub(super) fn below_prefix<'p>(&self, path: &'p str) -> &'p str {
        let scheme = self.bucket.as_ref().map(|bucket| format!("s3://{bucket}/"));
        let key = scheme.and_then(|scheme| path.strip_prefix(&scheme));
        let key = key.unwrap_or(path);
        key.strip_prefix(&self.pattern.prefix).unwrap_or(key)
    }
}

/// A place in a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// With its `@`, and a `/` at the end: what the location's first variable part is below.
    pub folder: String,
}

/// The kinds of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma separated values.
    Csv(CsvOptions),
    /// Parquet.
    Parquet,
    /// Objects, one a line or in an array.
    Json(Compression),
}

impl Format {
    /// The word in `file_format`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Format::Csv(_) => "csv",
            Format::Parquet => "parquet",
            Format::Json(_) => "json",
        }
    }
}

/// How a CSV file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// Between values.
    pub delimiter: u8,
    /// Whether the first line names the columns.
    pub header: Header,
    /// Around values.
    pub quote: u8,
    /// Before a quote inside of quotes; by default the quote itself.
    pub escape: u8,
    /// What null is written as, without quotes.
    pub null: String,
    /// Whether it is packed.
    pub compression: Compression,
}

/// Whether a CSV file's first line names its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// It does; columns are found by name.
    Named,
    /// There is none; columns are in the declared order.
    None,
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// By gzip where the name ends so.
    Auto,
    /// By gzip.
    Gzip,
    /// Not at all.
    None,
}

impl Compression {
    /// Tells whether a file of this name is packed by gzip.
    pub fn is_gzip(self, path: &str) -> bool {
        match self {
            Compression::Auto => path.to_ascii_lowercase().ends_with(".gz"),
            Compression::Gzip => true,
            Compression::None => false,
        }
    }
}

/// What becomes of a column that is in a file and not declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraColumns {
    /// The file is refused.
    Refuse,
    /// It is not read.
    Ignore,
}

/// A column of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileColumn {
    /// Its name, folded as the database folds it unless the column is declared with `quote`.
    pub name: String,
    /// Its type in the words of the target's dialect.
    pub data_type: String,
    /// What kind of type that is.
    pub kind: Kind,
    /// Whether it was declared; a field that was not comes from the path only.
    pub declared: bool,
}

/// The kinds of types that files are checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Whole numbers of 16 bits.
    SmallInt,
    /// Whole numbers of 32 bits.
    Integer,
    /// Whole numbers of 64 bits.
    BigInt,
    /// Exact numbers: digits in all and after the point, where given.
    Number(Option<(u8, u8)>),
    /// Floating point numbers.
    Double,
    /// True or false.
    Boolean,
    /// A day.
    Date,
    /// A date and time without a zone.
    Timestamp,
    /// An instant.
    TimestampTz,
    /// What only the database knows.
    Other,
}

impl Kind {
    /// Reads a type as the SQL databases write it.
    pub fn parse(data_type: &str) -> Kind {
        let lower = data_type.to_lowercase();
        let (head, inside, tail) = match lower.split_once('(') {
            Some((head, rest)) => match rest.split_once(')') {
                Some((inside, tail)) => (head, Some(inside), tail),
                None => return Kind::Other,
            },
            None => (lower.as_str(), None, ""),
        };
        let words: Vec<&str> = head
            .split_whitespace()
            .chain(tail.split_whitespace())
            .collect();
        match words.join(" ").as_str() {
            "varchar" | "text" | "string" | "char" | "character" | "character varying"
            | "bpchar" => Kind::Text,
            "smallint" | "int2" => Kind::SmallInt,
            "integer" | "int" | "int4" => Kind::Integer,
            "bigint" | "int8" => Kind::BigInt,
            "numeric" | "decimal" | "number" | "dec" => Kind::Number(inside.and_then(|inside| {
                let (digits, scale) = inside.split_once(',').unwrap_or((inside, "0"));
                Some((digits.trim().parse().ok()?, scale.trim().parse().ok()?))
            })),
            "double" | "double precision" | "float8" | "float" | "float4" | "real" => Kind::Double,
            "boolean" | "bool" => Kind::Boolean,
            "date" => Kind::Date,
            "timestamp" | "datetime" | "timestamp without time zone" | "timestamp_ntz" => {
                Kind::Timestamp
            }
            "timestamptz" | "timestamp with time zone" | "timestamp_tz" => Kind::TimestampTz,
            _ => Kind::Other,
        }
    }
}

/// Every key of `external` that is read, with the other names that some have.
const KEYS: &[(&str, &[&str])] = &[
    ("location", &[]),
    ("stage", &[]),
    ("file_format", &[]),
    ("extra_columns", &[]),
    ("delimiter", &["field_delimiter"]),
    ("header", &[]),
    ("quote", &[]),
    ("escape", &[]),
    ("null", &["null_marker"]),
    ("encoding", &[]),
    ("compression", &[]),
];

/// The keys that only CSV has.
const CSV_KEYS: &[&str] = &["delimiter", "header", "quote", "escape", "null", "encoding"];

/// What dbt-external-tables reads, for databases that have external tables.
const FOREIGN: &[&str] = &[
    "partitions",
    "row_format",
    "tbl_properties",
    "auto_refresh",
    "refresh_on_create",
    "pattern",
    "integration",
    "error_integration",
    "aws_sns_topic",
    "snowpipe",
    "options",
    "using",
    "infer_schema",
    "ignore_case",
    "table_format",
    "hive_partition_columns",
    "data_source",
    "reject_type",
    "reject_value",
    "ansi_nulls",
    "quoted_identifier",
];

/// Reads the declaration of a source's table; `None` where it has no files, or faults.
///
/// Everything that is wrong is added to `found`, warnings as well.
pub fn file_source(
    source: &Source,
    dialect: &Dialect,
    found: &mut Vec<Diagnostic>,
) -> Option<FileSource> {
    let external = source.external.as_ref()?;
    let before = found.iter().filter(|one| one.is_error()).count();
    let mut reader = Reader { source, found };
    let read = reader.read(external, dialect);
    let after = found.iter().filter(|one| one.is_error()).count();
    read.filter(|_| before == after)
}

struct Reader<'a> {
    source: &'a Source,
    found: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn name(&self) -> String {
        format!("{}.{}", self.source.source_name, self.source.name)
    }

    fn place(&self, mut diagnostic: Diagnostic, help: Option<String>) -> Diagnostic {
        diagnostic.help = help;
        diagnostic.at(self.source.span.clone())
    }

    fn error(&mut self, code: Code, message: &str, help: impl Into<String>) {
        let help: String = help.into();
        let message = format!("source `{}`: {message}", self.name());
        let error = Diagnostic::error(code, message);
        let error = self.place(error, (!help.is_empty()).then_some(help));
        self.found.push(error);
    }

    fn warn(&mut self, message: &str, help: Option<String>) {
        let message = format!("source `{}`: {message}", self.name());
        let warning = self.place(Diagnostic::warning(Code::UnknownKey, message), help);
        self.found.push(warning);
    }

    fn read(&mut self, external: &Json, dialect: &Dialect) -> Option<FileSource> {
        let Json::Object(external) = external else {
            let message = "`external` must be a mapping";
            self.error(Code::BadConfig, message, "write `external: {location: ..}`");
            return None;
        };
        self.unknown_keys(external.keys());
        let value = |key: &str| {
            let (own, others) = KEYS.iter().find(|(own, _)| *own == key)?;
            let mut names = std::iter::once(own).chain(*others);
            names.find_map(|name| external.get(*name).filter(|value| !value.is_null()))
        };
        let location = self.location(value("location"));
        let format = self.format(&value, location.as_ref());
        let extra_columns = match value("extra_columns").map(scalar) {
            None => ExtraColumns::Refuse,
            Some(word) => match word.as_deref() {
                Some("ignore") => ExtraColumns::Ignore,
                Some("refuse") => ExtraColumns::Refuse,
                _ => {
                    let message = "`extra_columns` is neither `refuse` nor `ignore`";
                    self.error(Code::BadConfig, message, "");
                    ExtraColumns::Refuse
                }
            },
        };
        let stage = self.stage(value("stage"), format.as_ref(), extra_columns, dialect);
        let mut columns = self.columns(dialect);
        let location = location?;
        self.same_field(&location.pattern.field);
        let cut = match self.source.inbox() {
            Some(_) => Cut::Batch,
            None => Cut::Partition,
        };
        let wanted = location.pattern.field.to_lowercase();
        let is_field = |column: &FileColumn| column.name.to_lowercase() == wanted;
        let field = match columns.iter().position(is_field) {
            Some(at) => at,
            None => {
                let (data_type, kind) = match cut {
                    Cut::Partition => (dialect.types.date, Kind::Date),
                    Cut::Batch => (dialect.types.text, Kind::Text),
                };
                columns.push(FileColumn {
                    name: dialect.fold(&location.pattern.field),
                    data_type: data_type.to_owned(),
                    kind,
                    declared: false,
                });
                columns.len() - 1
            }
        };
        self.field_kind(cut, &columns[field]);
        Some(FileSource {
            name: self.name(),
            location,
            stage,
            format: format?,
            columns,
            field,
            cut,
            extra_columns,
            span: self.source.span.clone(),
        })
    }

    fn unknown_keys<'k>(&mut self, keys: impl Iterator<Item = &'k String>) {
        let known = || {
            KEYS.iter()
                .flat_map(|(own, others)| std::iter::once(own).chain(*others))
        };
        for key in keys {
            if known().any(|known| known == key) {
                continue;
            }
            if FOREIGN.contains(&key.as_str()) {
                let message = format!("`external.{key}` is not read: files are loaded here");
                self.warn(&message, None);
                continue;
            }
            let message = format!("`external` has no key `{key}`");
            let near = nearest(key, known().copied());
            let help = near.map_or_else(
                || format!("the keys are {}", listed(KEYS.iter().map(|(own, _)| *own))),
                |near| format!("a key `{near}` exists"),
            );
            self.error(Code::UnknownKey, &message, help);
        }
    }

    fn location(&mut self, value: Option<&Json>) -> Option<Location> {
        let Some(text) = value.and_then(Json::as_str).filter(|text| !text.is_empty()) else {
            let message = match value {
                None => "`external` has no `location`",
                Some(_) => "`external.location` must be text",
            };
            let help = "write a pattern such as `landing/orders/{partition_date}/*.csv`";
            self.error(Code::BadConfig, message, help);
            return None;
        };
        let (bucket, path) = match text.split_once("://") {
            Some(("s3", rest)) => {
                let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() || bucket.contains(['{', '*']) {
                    let message = format!("`external.location` has no bucket: `{text}`");
                    self.error(Code::BadConfig, &message, "write `s3://bucket/folder/..`");
                    return None;
                }
                (Some(bucket.to_owned()), path)
            }
            Some((scheme, _)) => {
                let message = format!("`external.location` begins with `{scheme}://`");
                let help = "write a folder, or `s3://bucket/folder/..`";
                self.error(Code::Unsupported, &message, help);
                return None;
            }
            None => (None, text.strip_prefix("./").unwrap_or(text)),
        };
        let fault = match pattern::parse(path) {
            Ok(pattern) => {
                return Some(Location {
                    text: text.to_owned(),
                    bucket,
                    pattern,
                });
            }
            Err(fault) => fault,
        };
        let field = self.field().unwrap_or_else(|| "partition_date".to_owned());
        let (message, help) = match fault {
            PatternFault::NoPlaceholder => (
                format!("`external.location` does not say where the partition stands: `{text}`"),
                format!("write `{{{field}}}` in its place"),
            ),
            PatternFault::OtherPlaceholder(name) => (
                format!("`external.location` has a second placeholder, `{{{name}}}`"),
                "keep that of the partition, and write `*` for what else varies".to_owned(),
            ),
            PatternFault::Brace => (
                format!("`external.location` has a brace without its fellow: `{text}`"),
                format!("write the partition as `{{{field}}}`"),
            ),
        };
        self.error(Code::BadConfig, &message, help);
        None
    }

    /// The stage, where the database copies from stages; elsewhere the files are read at `location`.
    fn stage(
        &mut self,
        value: Option<&Json>,
        format: Option<&Format>,
        extra_columns: ExtraColumns,
        dialect: &Dialect,
    ) -> Option<Stage> {
        let text = match value? {
            Json::String(text) if text.len() > 1 && text.starts_with('@') => text,
            _ => {
                let message = "`external.stage` is no place in a stage";
                let help = "write the stage and the folder in it, such as `@landing_stage/orders`";
                self.error(Code::BadConfig, message, help);
                return None;
            }
        };
        if !dialect.copies_stages {
            return None;
        }
        let without = "drop `stage`, so that the files are read here and their rows inserted";
        if let Some(other @ (Format::Parquet | Format::Json(_))) = format {
            let message = format!(
                "files of a stage are copied as csv, and these are {}",
                other.as_str()
            );
            self.error(Code::Unsupported, &message, without);
        }
        if extra_columns == ExtraColumns::Ignore {
            let message =
                "`extra_columns: ignore` does not go with `stage`: a copy reads all columns";
            self.error(Code::Unsupported, message, without);
        }
        Some(Stage {
            folder: format!("{}/", text.trim_end_matches('/')),
        })
    }

    /// The field that `partition_by` of the config names.
    fn field(&self) -> Option<String> {
        match self.source.config.get("partition_by")? {
            Json::String(field) => Some(field.clone()),
            Json::Object(parts) => parts.get("field").and_then(Json::as_str).map(str::to_owned),
            _ => None,
        }
    }

    fn same_field(&mut self, placeholder: &str) {
        if let Some(field) = self.field()
            && !field.eq_ignore_ascii_case(placeholder)
        {
            let message = format!(
                "`external.location` has the placeholder `{{{placeholder}}}`, and `partition_by` is `{field}`"
            );
            let help = format!("write `{{{field}}}`");
            self.error(Code::BadConfig, &message, help);
        }
    }

    fn field_kind(&mut self, cut: Cut, column: &FileColumn) {
        if cut == Cut::Batch {
            if column.kind != Kind::Text {
                let message = format!(
                    "the batch's column `{}` is of type `{}`",
                    column.name, column.data_type
                );
                self.error(Code::BadConfig, &message, "give it a type of text");
            }
            return;
        }
        let fits = matches!(
            column.kind,
            Kind::Text
                | Kind::SmallInt
                | Kind::Integer
                | Kind::BigInt
                | Kind::Date
                | Kind::Timestamp
                | Kind::TimestampTz
        );
        if !fits {
            let FileColumn {
                name, data_type, ..
            } = column;
            let message = format!("the partition's column `{name}` is of type `{data_type}`");
            self.error(Code::BadConfig, &message, "give it the type `date`");
        }
    }

    fn format<'v>(
        &mut self,
        value: &dyn Fn(&str) -> Option<&'v Json>,
        location: Option<&Location>,
    ) -> Option<Format> {
        const FORMATS: &[&str] = &["csv", "parquet", "json"];
        let word = match value("file_format") {
            Some(word) => scalar(word).unwrap_or_default().to_lowercase(),
            None => suffix_format(location?.text.as_str()).to_owned(),
        };
        let compression = match value("compression").map(scalar) {
            None => Compression::Auto,
            Some(word) => match word.as_deref() {
                Some("auto") => Compression::Auto,
                Some("gzip" | "gz") => Compression::Gzip,
                Some("none") => Compression::None,
                _ => {
                    let message = "`external.compression` is none of `auto`, `gzip`, `none`";
                    self.error(Code::BadConfig, message, "");
                    Compression::Auto
                }
            },
        };
        if word != "csv"
            && let Some(key) = CSV_KEYS.iter().find(|key| value(key).is_some())
        {
            let message = format!("`external.{key}` belongs to the format `csv`");
            self.error(
                Code::BadConfig,
                &message,
                "drop it, or write `file_format: csv`",
            );
        }
        match word.as_str() {
            "csv" => Some(Format::Csv(self.csv(value, compression))),
            "parquet" => Some(Format::Parquet),
            "json" | "ndjson" | "jsonl" => Some(Format::Json(compression)),
            "" => {
                let message = "`external` does not say which format its files have";
                self.error(
                    Code::BadConfig,
                    message,
                    "write `file_format: csv`, `parquet` or `json`",
                );
                None
            }
            other => {
                let message = format!("`external.file_format` is `{other}`");
                let help = match nearest(other, FORMATS.iter().copied()) {
                    Some(near) => format!("write `{near}`"),
                    None => "write `csv`, `parquet` or `json`; its options are keys beside it"
                        .to_owned(),
                };
                self.error(Code::BadConfig, &message, help);
                None
            }
        }
    }

    fn csv<'v>(
        &mut self,
        value: &dyn Fn(&str) -> Option<&'v Json>,
        compression: Compression,
    ) -> CsvOptions {
        if let Some(encoding) = value("encoding") {
            let word = scalar(encoding).unwrap_or_default().to_lowercase();
            if word != "utf-8" && word != "utf8" {
                let message = format!("`external.encoding` is `{word}`, and only UTF-8 is read");
                self.error(Code::Unsupported, &message, "write the files in UTF-8");
            }
        }
        let header = match value("header") {
            None | Some(Json::Bool(true)) => Header::Named,
            Some(Json::Bool(false)) => Header::None,
            Some(_) => {
                let message = "`external.header` is neither true nor false";
                self.error(Code::BadConfig, message, "");
                Header::Named
            }
        };
        let null = match value("null") {
            None => String::new(),
            Some(text) => scalar(text).unwrap_or_else(|| {
                self.error(Code::BadConfig, "`external.null` must be text", "");
                String::new()
            }),
        };
        let delimiter = self.byte("delimiter", value("delimiter"), b',');
        let quote = self.byte("quote", value("quote"), b'"');
        let escape = self.byte("escape", value("escape"), quote);
        let marks = [
            ("delimiter", delimiter),
            ("quote", quote),
            ("escape", escape),
        ];
        if let Some((key, _)) = marks
            .iter()
            .find(|(_, mark)| null.as_bytes().contains(mark))
        {
            let message = format!("`external.null` is `{null}`, which holds the {key}");
            self.error(Code::BadConfig, &message, "write null as something else");
        }
        if delimiter == quote || delimiter == escape {
            let message = "`external.delimiter` is also the quote or the escape";
            self.error(Code::BadConfig, message, "give each a character of its own");
        }
        CsvOptions {
            delimiter,
            header,
            quote,
            escape,
            null,
            compression,
        }
    }

    /// One character of ASCII; a tab may be written `\t`.
    fn byte(&mut self, key: &str, value: Option<&Json>, default: u8) -> u8 {
        let Some(value) = value else {
            return default;
        };
        let text = scalar(value).unwrap_or_default();
        match text.as_bytes() {
            [one] if one.is_ascii() && !matches!(one, b'\n' | b'\r' | 0) => *one,
            b"\\t" => b'\t',
            _ => {
                let message = format!("`external.{key}` must be one character, and is `{text}`");
                self.error(Code::BadConfig, &message, "");
                default
            }
        }
    }

    fn columns(&mut self, dialect: &Dialect) -> Vec<FileColumn> {
        if self.source.columns.is_empty() {
            let message = "its files need columns, and none are declared";
            let help = "add `columns:` with a `name` and a `data_type` each";
            self.error(Code::BadConfig, message, help);
        }
        let mut columns = Vec::new();
        let mut untyped: Vec<&str> = Vec::new();
        for column in self.source.columns.values() {
            let Some(data_type) = column.data_type.as_deref().map(str::trim) else {
                untyped.push(&column.name);
                continue;
            };
            if data_type.is_empty() {
                untyped.push(&column.name);
                continue;
            }
            let name = if column.quote == Some(true) {
                column.name.clone()
            } else {
                dialect.fold(&column.name)
            };
            columns.push(FileColumn {
                name,
                data_type: data_type.to_owned(),
                kind: Kind::parse(data_type),
                declared: true,
            });
        }
        if !untyped.is_empty() {
            let message = format!(
                "these columns have no `data_type`: {}",
                listed(untyped.into_iter())
            );
            let help = "give each a type, such as `data_type: varchar`";
            self.error(Code::BadConfig, &message, help);
        }
        columns
    }
}

/// The format that the end of a location tells, also before `.gz`.
fn suffix_format(location: &str) -> &'static str {
    let lower = location.to_lowercase();
    let plain = lower.strip_suffix(".gz").unwrap_or(&lower);
    match plain.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("csv" | "csv*") => "csv",
        Some("parquet") => "parquet",
        Some("json" | "json*" | "ndjson" | "jsonl") => "json",
        _ => "",
    }
}

fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(_) | Json::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Names in backticks, with commas.
pub(super) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
