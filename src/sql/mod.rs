//! Reading SQL: the only user of sqlparser.
