//! What the SQL dialects differ in, as data.
//!
//! A new warehouse is one [`Dialect`] value here, one driver in [`crate::adapter`] and one folder
//! of macros under `src/builtin/`. Code elsewhere reads these fields and never asks for a name.

use crate::relation::Quoting;

/// How a database folds identifiers that are not quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folding {
    /// To lower case.
    Lower,
    /// To upper case.
    Upper,
    /// Kept as written, compared without case.
    Insensitive,
}

/// The sqlparser dialect that reads the database's SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parser {
    /// `DuckDbDialect`.
    DuckDb,
    /// `PostgreSqlDialect`.
    Postgres,
    /// `SnowflakeDialect`.
    Snowflake,
}

/// The names of the types that seeds and unit values are given.
#[derive(Clone, Copy, Debug)]
pub struct TypeNames {
    /// Text of any length.
    pub text: &'static str,
    /// Whole numbers of at least 32 bits.
    pub integer: &'static str,
    /// Whole numbers of 64 bits.
    pub bigint: &'static str,
    /// Numbers with a fraction.
    pub number: &'static str,
    /// True or false.
    pub boolean: &'static str,
    /// A calendar date.
    pub date: &'static str,
    /// A date and time without a zone.
    pub timestamp: &'static str,
    /// A time of day.
    pub time: &'static str,
}

/// The facts of one database's SQL.
#[derive(Debug)]
pub struct Dialect {
    /// The name that profiles use as `type`; also the prefix of its macros and the folder of its built-ins.
    pub name: &'static str,
    /// The character around quoted identifiers.
    pub quote: char,
    /// Which parts of a relation are quoted unless the project says otherwise.
    pub quoting: Quoting,
    /// How unquoted identifiers are folded.
    pub folding: Folding,
    /// The longest identifier, in bytes.
    pub max_identifier: Option<usize>,
    /// The parser of its SQL.
    pub parser: Parser,
    /// Its type names.
    pub types: TypeNames,
    /// The schema that is there without being made.
    pub default_schema: &'static str,
    /// Whether a DDL statement can be rolled back.
    pub transactional_ddl: bool,
    /// Whether the database has indexes that are worth making.
    pub has_indexes: bool,
    /// The expression of this moment in UTC, without a zone, by the database's clock.
    pub utc_now: &'static str,
    /// The aggregate that joins texts, with a separator between them.
    pub joined_text: &'static str,
    /// How the ledger is written.
    pub ledger: LedgerSql,
    /// Whether a change of rows always shows in their number alone: what the catalogue tells of a
    /// relation is then no more than that, and no marker is kept.
    pub counts_rows: bool,
    /// What is said at the start of a transaction that publishes partitions; `{idle}` is the number of
    /// seconds after which one in which nothing happens counts as left behind, `{lock}` that for which a
    /// lock is waited for.
    pub publish_settings: &'static [&'static str],
    /// What is said before rows are hashed, so that every session hashes alike.
    pub hash_settings: &'static [&'static str],
    /// Whether a subquery in `from` must have an alias.
    pub subquery_alias: bool,
    /// Whether it copies files of a stage into a table itself.
    pub copies_stages: bool,
    /// Whether several batches of a microbatch model may be written at the same time.
    pub concurrent_batches: bool,
    /// Whether the driver hands the rows of a query out as a stream of CSV.
    pub streams_rows_out: bool,
    /// Whether it keeps primary and foreign keys as an ODS needs them, so that models may be `ods_table`.
    pub has_ods_tables: bool,
    /// What a profile of this `type` consists of.
    pub profile: ProfileFields,
}

/// What the statements of the ledger differ in.
#[derive(Clone, Copy, Debug)]
pub struct LedgerSql {
    /// What makes the numbers of a new sequence only grow, where that has to be asked for.
    pub ordered: &'static str,
    /// The query that takes `{count}` numbers from `{sequence}`, whose name as a literal is `{literal}`.
    pub take_numbers: &'static str,
    /// How it writes a row that may be there.
    pub upsert: Upsert,
    /// How a literal becomes rows of numbers.
    pub rows: NumberRows,
}

/// How a row is written that may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upsert {
    /// By `on conflict`; what was written is seen by `returning`.
    OnConflict,
    /// Primary keys are not enforced: by statements of a transaction that waits for all others of its
    /// kind, since they change one row of the table first.
    Locked,
}

/// How a literal becomes rows of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberRows {
    /// Its parts are split again.
    Split,
    /// It is JSON.
    Json,
}

/// The writing of a ledger in databases that keep primary keys.
const PLAIN_LEDGER: LedgerSql = LedgerSql {
    ordered: "",
    take_numbers: "select nextval({literal}) as number from generate_series(1, {count})",
    upsert: Upsert::OnConflict,
    rows: NumberRows::Split,
};

/// The fields of a profile.
#[derive(Debug)]
pub struct ProfileFields {
    /// Whether the database is a file at `path`, which gives it its name, and no server.
    pub embedded: bool,
    /// What must be there, besides `type`.
    pub required: &'static [&'static str],
    /// Other names that fields may have, and the names that are kept.
    pub aliases: &'static [(&'static str, &'static str)],
    /// What templates may see as `target`; a secret never is among them.
    pub public: &'static [&'static str],
    /// Fields that an environment variable gives where the profile does not, as the database's own
    /// client library has it.
    pub environment: &'static [(&'static str, &'static str)],
    /// Fields that a file in the user's home gives, by its path, where nothing else does and it exists.
    pub home_files: &'static [(&'static str, &'static str)],
}

/// The embedded database.
pub static DUCKDB: Dialect = Dialect {
    name: "duckdb",
    quote: '"',
    quoting: Quoting::ALL,
    folding: Folding::Insensitive,
    max_identifier: None,
    parser: Parser::DuckDb,
    types: TypeNames {
        text: "varchar",
        integer: "integer",
        bigint: "bigint",
        number: "double",
        boolean: "boolean",
        date: "date",
        timestamp: "timestamp",
        time: "time",
    },
    default_schema: "main",
    transactional_ddl: true,
    has_indexes: false,
    utc_now: "make_timestamp(epoch_us(now()))",
    joined_text: "string_agg",
    ledger: PLAIN_LEDGER,
    counts_rows: true,
    publish_settings: &[],
    hash_settings: &[],
    subquery_alias: false,
    copies_stages: false,
    concurrent_batches: true,
    streams_rows_out: false,
    has_ods_tables: false,
    profile: ProfileFields {
        embedded: true,
        required: &[],
        aliases: &[],
        public: &[
            "database",
            "schema",
            "path",
            "config_options",
            "extensions",
            "external_root",
            "use_credential_provider",
            "disable_transactions",
        ],
        environment: &[],
        home_files: &[],
    },
};

/// PostgreSQL.
pub static POSTGRES: Dialect = Dialect {
    name: "postgres",
    quote: '"',
    quoting: Quoting::ALL,
    folding: Folding::Lower,
    max_identifier: Some(63),
    parser: Parser::Postgres,
    types: TypeNames {
        text: "text",
        integer: "integer",
        bigint: "bigint",
        number: "float8",
        boolean: "boolean",
        date: "date",
        timestamp: "timestamp without time zone",
        time: "time",
    },
    default_schema: "public",
    transactional_ddl: true,
    has_indexes: true,
    utc_now: "cast(clock_timestamp() at time zone 'UTC' as timestamp)",
    joined_text: "string_agg",
    ledger: PLAIN_LEDGER,
    counts_rows: false,
    publish_settings: &[
        "set transaction isolation level repeatable read",
        "set local lock_timeout = '{lock}s'",
        "set local idle_in_transaction_session_timeout = '{idle}s'",
    ],
    hash_settings: &[
        "set local timezone = 'UTC'",
        "set local datestyle = 'ISO, YMD'",
        "set local intervalstyle = 'iso_8601'",
        "set local extra_float_digits = 1",
        "set local bytea_output = 'hex'",
    ],
    subquery_alias: true,
    copies_stages: false,
    concurrent_batches: false,
    streams_rows_out: true,
    has_ods_tables: true,
    profile: ProfileFields {
        embedded: false,
        required: &["host", "user", "port", "database", "schema"],
        aliases: &[("dbname", "database"), ("pass", "password")],
        public: &[
            "host",
            "port",
            "user",
            "database",
            "schema",
            "connect_timeout",
            "role",
            "search_path",
            "keepalives_idle",
            "sslmode",
            "sslcert",
            "sslkey",
            "sslrootcert",
            "application_name",
            "retries",
        ],
        environment: &[
            ("password", "PGPASSWORD"),
            ("passfile", "PGPASSFILE"),
            ("sslmode", "PGSSLMODE"),
            ("sslrootcert", "PGSSLROOTCERT"),
            ("sslcert", "PGSSLCERT"),
            ("sslkey", "PGSSLKEY"),
            ("options", "PGOPTIONS"),
        ],
        home_files: &[
            ("passfile", ".pgpass"),
            ("sslrootcert", ".postgresql/root.crt"),
            ("sslcert", ".postgresql/postgresql.crt"),
            ("sslkey", ".postgresql/postgresql.key"),
        ],
    },
};

/// Snowflake.
pub static SNOWFLAKE: Dialect = Dialect {
    name: "snowflake",
    quote: '"',
    quoting: Quoting::NONE,
    folding: Folding::Upper,
    max_identifier: Some(255),
    parser: Parser::Snowflake,
    types: TypeNames {
        text: "text",
        integer: "integer",
        bigint: "bigint",
        number: "float8",
        boolean: "boolean",
        date: "date",
        timestamp: "timestamp without time zone",
        time: "time",
    },
    default_schema: "PUBLIC",
    transactional_ddl: false,
    has_indexes: false,
    utc_now: "cast(sysdate() as timestamp_ntz)",
    joined_text: "listagg",
    ledger: LedgerSql {
        ordered: " order",
        take_numbers: "select {sequence}.nextval as number from table(generator(rowcount => {count}))",
        upsert: Upsert::Locked,
        rows: NumberRows::Json,
    },
    // A count is read from the catalogue, and every change of rows moves the catalogue's times, ours too.
    counts_rows: true,
    publish_settings: &[],
    hash_settings: &[],
    subquery_alias: false,
    copies_stages: true,
    concurrent_batches: true,
    streams_rows_out: false,
    has_ods_tables: false,
    profile: ProfileFields {
        embedded: false,
        required: &["account", "database", "schema"],
        aliases: &[],
        public: &[
            "account",
            "user",
            "database",
            "warehouse",
            "role",
            "schema",
            "authenticator",
            "oauth_client_id",
            "query_tag",
            "client_session_keep_alive",
            "host",
            "port",
            "proxy_host",
            "proxy_port",
            "protocol",
            "connect_retries",
            "connect_timeout",
            "retry_on_database_errors",
            "retry_all",
            "insecure_mode",
            "reuse_connections",
        ],
        environment: &[],
        home_files: &[],
    },
};

/// Every dialect.
pub static ALL: &[&Dialect] = &[&DUCKDB, &POSTGRES, &SNOWFLAKE];

/// The dialect of the database that is at hand without a profile.
pub fn embedded() -> &'static Dialect {
    &DUCKDB
}

/// Finds a dialect by the `type` of a profile.
pub fn by_name(name: &str) -> Option<&'static Dialect> {
    ALL.iter().copied().find(|dialect| dialect.name == name)
}

impl Dialect {
    /// What the database makes of an identifier that is not quoted.
    pub fn fold(&self, identifier: &str) -> String {
        match self.folding {
            Folding::Lower => identifier.to_lowercase(),
            Folding::Upper => identifier.to_uppercase(),
            Folding::Insensitive => identifier.to_owned(),
        }
    }

    /// Quotes an identifier, doubling quote characters inside.
    pub fn quote_identifier(&self, identifier: &str) -> String {
        let quote = self.quote;
        let doubled = identifier.replace(quote, &format!("{quote}{quote}"));
        format!("{quote}{doubled}{quote}")
    }

    /// Shortens a name of our own making that the database would cut, so that no two become one: it ends
    /// with a hash of the whole.
    pub fn fit_identifier(&self, name: String) -> String {
        use sha2::{Digest, Sha256};
        const HASH: usize = 8;
        match self.max_identifier {
            Some(max) if name.len() > max => {
                let hash = Sha256::digest(&name);
                let mut end = max - HASH - 1;
                while !name.is_char_boundary(end) {
                    end -= 1;
                }
                let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{}_{}", &name[..end], &hash[..HASH])
            }
            _ => name,
        }
    }

    /// Writes text as a string literal.
    pub fn string_literal(&self, text: &str) -> String {
        let backslash = self.parser == Parser::Snowflake;
        let text = if backslash {
            text.replace('\\', "\\\\")
        } else {
            text.to_owned()
        };
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_names_fit_and_stay_apart() {
        let long = "ä".repeat(30);
        let (one, two) = (format!("{long}__new"), format!("{long}__old"));
        assert_eq!(POSTGRES.fit_identifier(one.clone() + "er").len(), 63);
        let fitted = [&one, &two].map(|name| POSTGRES.fit_identifier(name.clone()));
        assert!(fitted.iter().all(|name| name.len() <= 63));
        assert_ne!(fitted[0], fitted[1]);
        assert_eq!(DUCKDB.fit_identifier(one.clone()), one);
        assert_eq!(POSTGRES.fit_identifier("short".into()), "short");
    }

    #[test]
    fn names_without_quotes_are_folded() {
        let folded = ALL.iter().map(|dialect| dialect.fold("Col_A"));
        assert_eq!(folded.collect::<Vec<_>>(), ["Col_A", "col_a", "COL_A"]);
    }
}
