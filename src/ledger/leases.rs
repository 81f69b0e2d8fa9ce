//! The statements of leases, and of the signs of life that keep them.

use super::{LOCK_ROW, Ledger, RelationId};
use crate::dialect::Upsert;

impl Ledger {
    /// The text that takes a lease that is free, run out, or the holder's own; its last statement
    /// returns the fencing number, and no row where somebody else holds it. It has not run out while
    /// its holder gives signs of life.
    pub fn take_lease(&self, relation: RelationId, holder: &str, seconds: u32) -> String {
        let (table, holder, now) = (
            self.table("leases"),
            self.text(holder),
            self.dialect.utc_now,
        );
        let until = format!("{now} + interval '{seconds} seconds'");
        if self.dialect.ledger.upsert == Upsert::Locked {
            let (relation, runs) = (relation.0, self.table("runs"));
            return [
                "begin".to_owned(),
                format!("update {table} set beat = beat + 1 where relation = {LOCK_ROW}"),
                format!(
                    "update {table} set fence = fence + 1, holder = {holder}, expires = {until}\n\
                     where relation = {relation} and (holder is null or holder = {holder}\n    \
                     or expires < {now} and holder not in (select run from {runs} where expires >= {now}))"
                ),
                format!(
                    "insert into {table} (relation, fence, beat, holder, expires)\n\
                     select {relation}, 1, 0, {holder}, {until} where not exists (select 1 from {table} where relation = {relation})"
                ),
                "commit".to_owned(),
                format!("select fence from {table} where relation = {relation} and holder = {holder}"),
            ]
            .join(";\n");
        }
        format!(
            "insert into {table} as held (relation, fence, beat, holder, expires) values ({}, 1, 0, {holder}, {until})\n\
             on conflict (relation) do update set fence = held.fence + 1, holder = excluded.holder, expires = excluded.expires\n\
             where held.holder is null or held.holder = excluded.holder\n    or held.expires < {now} and not exists (select 1 from {runs} as alive where alive.run = held.holder and alive.expires >= {now})\n\
             returning fence",
            relation.0,
            runs = self.table("runs")
        )
    }

    /// The text by which a run says that it is alive, for so many seconds.
    pub fn sign_of_life(&self, run: &str, seconds: u32) -> String {
        if self.dialect.ledger.upsert == Upsert::Locked {
            // Nobody else writes of this run.
            let (runs, run) = (self.table("runs"), self.text(run));
            let until = format!("{} + interval '{seconds} seconds'", self.dialect.utc_now);
            return format!(
                "update {runs} set expires = {until} where run = {run};\n\
                 insert into {runs} (run, expires) select {run}, {until} where not exists (select 1 from {runs} where run = {run})"
            );
        }
        format!(
            "insert into {} (run, expires) values ({}, {} + interval '{seconds} seconds')\n\
             on conflict (run) do update set expires = excluded.expires",
            self.table("runs"),
            self.text(run),
            self.dialect.utc_now
        )
    }

    /// The statement by which a run says that it has ended; those that died long ago go with it.
    pub fn end_of_life(&self, run: &str) -> String {
        format!(
            "delete from {} where run = {} or expires < {} - interval '1 day'",
            self.table("runs"),
            self.text(run),
            self.dialect.utc_now
        )
    }

    /// The query of who holds a lease, and until when.
    pub fn read_lease(&self, relation: RelationId) -> String {
        format!(
            "select holder, expires from {} where relation = {}",
            self.table("leases"),
            relation.0
        )
    }

    /// The write that fails to find its row once somebody else has taken the lease over; no row is
    /// returned then.
    pub fn beat(&self, relation: RelationId, fence: i64) -> String {
        if self.dialect.ledger.upsert == Upsert::Locked {
            let leases = self.table("leases");
            let mine = format!("relation = {} and fence = {fence}", relation.0);
            return format!(
                "update {leases} set beat = beat + 1 where {mine};\nselect beat from {leases} where {mine}"
            );
        }
        format!(
            "update {} set beat = beat + 1 where relation = {} and fence = {fence} returning beat",
            self.table("leases"),
            relation.0
        )
    }

    /// The statement that gives a lease back.
    pub fn free_lease(&self, relation: RelationId, fence: i64) -> String {
        format!(
            "update {} set holder = null where relation = {} and fence = {fence}",
            self.table("leases"),
            relation.0
        )
    }
}
