//! Queries, and what the proof says of them.
//!
//! `orders`, `items` and `visits` have partitions by `day`; `customers` and `rates` have none.

use super::*;
use crate::dialect::{ALL, DUCKDB, POSTGRES, SNOWFLAKE};

const DAILY: &[DailyRelation<'static>] = &[
    DailyRelation {
        name: "orders",
        field: "day",
    },
    DailyRelation {
        name: "items",
        field: "day",
    },
    DailyRelation {
        name: "visits",
        field: "day",
    },
];
const FIXED: &[&str] = &["customers", "rates"];

fn prove(dialect: &Dialect, sql: &str) -> Result<(), Entangled> {
    separable(dialect, sql, DAILY, FIXED, "day")
}

/// Proves each query in each dialect.
fn proved(queries: &[&str]) {
    let each = |dialect: &&'static Dialect| wrongly_refused(dialect, queries);
    let faults: String = ALL.iter().map(each).collect();
    assert!(faults.is_empty(), "refused:{faults}");
}

fn proved_in(dialect: &Dialect, queries: &[&str]) {
    let faults = wrongly_refused(dialect, queries);
    assert!(faults.is_empty(), "refused:{faults}");
}

fn wrongly_refused(dialect: &Dialect, queries: &[&str]) -> String {
    let fault = |sql: &&str| {
        let reason = prove(dialect, sql).err()?.reason;
        Some(format!("\n{}: {sql}\n    {reason}", dialect.name))
    };
    queries.iter().filter_map(fault).collect()
}

/// Refuses each query in each dialect, for a reason that has these words.
fn refused(queries: &[(&str, &str)]) {
    let each = |dialect: &&'static Dialect| wrongly_proved(dialect, queries);
    let faults: String = ALL.iter().map(each).collect();
    assert!(faults.is_empty(), "{faults}");
}

fn refused_in(dialect: &Dialect, queries: &[(&str, &str)]) {
    let faults = wrongly_proved(dialect, queries);
    assert!(faults.is_empty(), "{faults}");
}

fn wrongly_proved(dialect: &Dialect, queries: &[(&str, &str)]) -> String {
    let fault = |(sql, words): &(&str, &str)| {
        let reason = match prove(dialect, sql) {
            Ok(()) => "is proved".to_owned(),
            Err(entangled) if entangled.reason.to_lowercase().contains(words) => return None,
            Err(entangled) => entangled.reason,
        };
        Some(format!("\n{}: {sql}\n    {reason}", dialect.name))
    };
    queries.iter().filter_map(fault).collect()
}

#[test]
fn rows_one_by_one() {
    proved(&[
        "select * from orders",
        "select id, day from orders where amount > 0 order by id;",
        "select o.id, (o.day) as day from db.s.orders as o",
        "select * from (select * from orders where day >= '2026-11-01' and day < '2026-11-03') as o",
        "with o as (select * from orders) select id, day from o",
        "with o as (select day as d, id from orders) select id, d as day from o",
        "with o (i, d) as (select id, day from orders) select i, d as day from o",
        "select ORDERS.Day, case when id in (1, 2) then 'a' end as c from ORDERS",
        "select day, other as day_before from orders",
    ]);
    refused(&[
        ("select id from orders", "does not certainly return `day`"),
        ("select id, other as day from orders", "return `day`"),
        ("select id, day + 1 as day from orders", "return `day`"),
        (
            "select cast(day as date) as day from orders",
            "return `day`",
        ),
        ("select other as day, day as d from orders", "not certainly"),
        (
            "select o.other as day, o.day as d from orders as o",
            "`day` is not the partition",
        ),
        (
            "select day as d from orders",
            "does not certainly return the partition as `day`",
        ),
        (
            "select a as day from customers",
            "reads no relation by partition",
        ),
        ("select * from strangers", "`strangers` is read"),
        ("select 1 as day", "reads no relation by partition"),
        ("select day from orders limit 10", "a limit"),
        (
            "select * from (select day from orders limit 10) as o",
            "a limit",
        ),
        ("select day from orders; select 1", "not one query"),
        ("delete from orders", "not one query"),
        ("select day from", "not understood"),
        (
            "select day from orders where seen < current_date",
            "`current_date`",
        ),
        ("select day, random() as r from orders", "`random()`"),
        (
            "select day from a.orders union all select day from b.orders",
            "two relations",
        ),
    ]);
}

#[test]
fn stars() {
    proved(&[
        "select o.*, c.name from orders as o join customers as c on c.id = o.customer_id",
        "select * from orders as o left join customers as c on c.id = o.customer_id",
        "select c.name, o.day from orders as o join customers as c on c.id = o.customer_id",
    ]);
    proved_in(
        &DUCKDB,
        &[
            "from orders",
            "select * exclude (id) from orders",
            "select * replace (id + 1 as id) from orders",
            "select c.* exclude (day), o.* from customers as c join orders as o on o.id = c.id",
        ],
    );
    proved_in(
        &SNOWFLAKE,
        &["select * rename (id as order_id) from orders"],
    );
    refused(&[
        (
            "select c.*, o.day from orders as o join customers as c on c.id = o.customer_id",
            "does not certainly return",
        ),
        (
            "select c.*, o.id from orders as o join customers as c on true",
            "certainly",
        ),
        ("select day from orders as o (a, b)", "certainly"),
    ]);
    refused_in(
        &DUCKDB,
        &[
            ("select * exclude (day) from orders", "certainly"),
            ("select * replace (day + 1 as day) from orders", "certainly"),
            ("select columns('d.*') from orders", "`columns`"),
            ("select day from orders using sample 10", "understood"),
            (
                "select day from orders positional join items",
                "`positional`",
            ),
            (
                "select day from orders asof join items on true",
                "understood",
            ),
        ],
    );
    refused_in(
        &SNOWFLAKE,
        &[
            ("select * rename (day as d) from orders", "as `day`"),
            ("select * rename (other as day) from orders", "certainly"),
            ("select * ilike '%d%' from orders", "pattern"),
            ("select day from orders sample (10)", "sample"),
            ("select top 10 day from orders", "a limit"),
            (
                "select day from orders o, customers c where o.id (+) = c.id",
                "not understood",
            ),
        ],
    );
}

#[test]
fn joins_of_two_days() {
    proved(&[
        "select o.day, i.id from orders as o join items as i on i.day = o.day and i.id = o.id",
        "select o.day from orders as o join items as i on (o.day = i.day) and (i.a = 1 or i.b = 2)",
        "select o.day from orders as o, items as i where o.day = i.day",
        "select o.day from orders as o cross join items as i where (i.id = o.id and i.day = o.day)",
        "select day, o.id from orders as o join items as i using (day, id)",
        "select * from orders as o left join items as i using (day)",
        "select o.day from orders as o left join items as i on o.day = i.day \
         left join visits as v on v.day = i.day",
        "select i.day from orders as o right join items as i on o.day = i.day",
        "select coalesce(o.day, i.day) as day from orders as o full join items as i on o.day = i.day",
        "select coalesce(o.day, i.day, v.day) as day from orders as o \
         full join items as i on o.day = i.day \
         full join visits as v on v.day = coalesce(o.day, i.day)",
        "select coalesce(o.day, i.day) as day, count(*) as n from orders as o \
         full join items as i on o.day = i.day group by coalesce(o.day, i.day)",
        "select v.day from (orders as o join items as i on o.day = i.day) \
         join visits as v on v.day = i.day",
    ]);
    proved_in(
        &POSTGRES,
        &["select day from orders full join items using (day)"],
    );
    proved_in(
        &DUCKDB,
        &[
            "select o.day from orders o semi join items i on o.day = i.day and o.id = i.id",
            "select o.day from orders o anti join items i using (day)",
            "select o.day from orders o anti join customers c on c.id = o.id",
        ],
    );
    let unkeyed = "joined without an equality of their `day`";
    refused(&[
        (
            "select o.day from orders as o join items as i on o.id = i.id",
            unkeyed,
        ),
        (
            "select o.day from orders as o join items as i on o.day = i.day - 1",
            unkeyed,
        ),
        (
            "select o.day from orders as o join items as i on o.day = i.day or o.id = i.id",
            unkeyed,
        ),
        (
            "select o.day from orders as o join items as i on not (o.day = i.day)",
            unkeyed,
        ),
        (
            "select o.day from orders as o join items as i on o.day >= i.day",
            unkeyed,
        ),
        (
            "select o.day from orders as o join items as i on o.day = i.shipped",
            unkeyed,
        ),
        (
            "select o.day from orders as o join items as i using (id)",
            unkeyed,
        ),
        (
            "select o.day from orders as o cross join items as i",
            unkeyed,
        ),
        (
            "select o.day from orders as o, items as i, visits as v where o.day = i.day",
            unkeyed,
        ),
        // WHERE is too late for an outer join: it has already looked at all days.
        (
            "select o.day from orders as o left join items as i on o.id = i.id where o.day = i.day",
            unkeyed,
        ),
        (
            "select o.day from orders as o cross join items as i left join visits as v \
             on v.day = o.day where o.day = i.day",
            unkeyed,
        ),
        (
            "select o.day from orders as o join orders as p on o.id = p.id",
            unkeyed,
        ),
        (
            "select o.day from orders as o join items as i on o.day is not distinct from i.day",
            unkeyed,
        ),
        (
            "select o.day from orders as o natural join items as i",
            "natural",
        ),
        (
            "select i.day from orders as o left join items as i on o.day = i.day",
            "certainly return",
        ),
        (
            "select o.day from orders as o full join items as i on o.day = i.day",
            "certainly return",
        ),
        (
            "select i.day, count(*) as n from orders as o left join items as i on o.day = i.day \
             group by i.day",
            "group",
        ),
    ]);
    refused_in(
        &DUCKDB,
        &[
            (
                "select o.day from orders o anti join items i on o.id = i.id",
                unkeyed,
            ),
            (
                "select c.id from customers c anti join items i on c.id = i.id",
                "semi or anti join",
            ),
        ],
    );
}

#[test]
fn joins_with_what_has_no_days() {
    proved(&[
        "select day, c.name from orders left join customers as c on c.id = customer_id",
        "select day, name from customers as c right join orders as o on c.id = o.customer_id",
        "select day, r.x from orders cross join (select max(x) as x from rates) as r",
        "select day from orders as o join (select * from rates order by x limit 1) as r on true",
        "select o.day from orders as o join rates as r on r.day = o.day",
        "select day from orders as o join rates as r using (day)",
        "with c as (select id, row_number() over (order by id) as n from customers) \
         select o.day, c.n from orders as o join c on c.id = o.customer_id",
    ]);
    refused(&[
        (
            "select o.day from customers as c left join orders as o on c.id = o.customer_id",
            "a left join keeps rows",
        ),
        (
            "select o.day from orders as o right join customers as c on c.id = o.customer_id",
            "a right join keeps rows",
        ),
        (
            "select o.day from orders as o full join customers as c on c.id = o.customer_id",
            "a full join keeps rows",
        ),
        (
            "select r.day from rates as r left join orders as o on o.day = r.day",
            "a left join keeps rows",
        ),
        // The same day, but the proof does not follow what is equal to what.
        (
            "select o.day from orders as o join rates as r on r.day = o.day \
             join items as i on i.day = r.day",
            "joined without",
        ),
    ]);
}

#[test]
fn groups() {
    proved(&[
        "select day, count(*) as n from orders group by day",
        "select day, count(*) as n from orders group by 1",
        "select id, day as day, sum(x) as x from orders group by id, 2 having sum(x) > 1",
        "select o.day, max(x) as x from orders as o group by o.day, o.id",
        "select day as day, a from (select day as d, a, day from orders) as o group by o.day, a",
        "with o as (select day as d, count(*) as n from orders group by d) select d as day from o",
    ]);
    proved_in(
        &DUCKDB,
        &["select day, count(*) as n from orders group by all"],
    );
    proved_in(
        &SNOWFLAKE,
        &["select day, count(*) as n from orders group by all"],
    );
    refused(&[
        ("select max(day) as day from orders", "`max` is taken over"),
        (
            "select id, max(day) as day from orders group by id",
            "a group is not keyed by `day`",
        ),
        (
            "select id, max(day) as day from orders group by 1",
            "a group is not keyed by `day`",
        ),
        (
            "select *, day as d from orders group by 2",
            "a group is not keyed by `day`",
        ),
        (
            "select day from orders having count(*) > 1",
            "a group is not keyed",
        ),
        (
            "select other as day, count(*) as n from orders group by day",
            "a group",
        ),
        (
            "select other as day, count(*) as n from orders group by 1",
            "a group",
        ),
        (
            "select day, count(*) as n from orders group by rollup (day)",
            "rollup",
        ),
        (
            "select day, count(*) as n from orders group by cube (day, id)",
            "cube",
        ),
        (
            "select day, id from orders group by grouping sets ((day), (id))",
            "grouping sets",
        ),
        (
            "with n as (select id, count(*) as n from orders group by id) \
             select o.day, n.n from orders as o join n on n.id = o.id",
            "a group",
        ),
    ]);
    refused_in(
        &DUCKDB,
        &[(
            "select max(day) as day, id from orders group by all",
            "a group",
        )],
    );
}

#[test]
fn distinct() {
    proved(&[
        "select distinct day, id from orders",
        "select distinct * from orders",
        "select day, count(distinct id) as n from orders group by day",
    ]);
    proved_in(
        &POSTGRES,
        &[
            "select distinct on (day, id) day, id, x from orders order by day, id, x",
            "select distinct on (d, id) day as d, id, day from orders",
        ],
    );
    refused(&[
        (
            "select distinct id from orders",
            "a distinct is not keyed by `day`",
        ),
        (
            "select o.day from orders as o join (select distinct id from items) as i on true",
            "distinct",
        ),
    ]);
    refused_in(
        &POSTGRES,
        &[
            (
                "select distinct on (id) id, day from orders order by id, day",
                "a distinct",
            ),
            (
                "select distinct on (day) r.day, o.day as d from orders as o, rates as r",
                "a distinct",
            ),
            (
                "select distinct on (day) r.*, o.day as d from orders as o, rates as r",
                "a distinct",
            ),
            (
                "select distinct on (day) other as day, day as d from orders",
                "a distinct",
            ),
        ],
    );
}

#[test]
fn windows() {
    proved(&[
        "select day, row_number() over (partition by day order by id) as n from orders",
        "select day, sum(x) over (partition by id, (day)) as n from orders",
        "select day, sum(count(*)) over (partition by day) as n from orders group by day, id",
        "select day, n from (select *, row_number() over (partition by day, id order by x desc) as n \
         from orders) as o where n = 1",
    ]);
    proved_in(
        &POSTGRES,
        &[
            "select day, sum(x) over (w order by id) as s from orders window w as (partition by day)",
            "select day, lag(x) over w as a from orders window w as (partition by day order by id)",
            "select day, 1 as one from orders window w as (order by id)",
        ],
    );
    proved_in(
        &SNOWFLAKE,
        &[
            "select day, id from orders qualify row_number() over (partition by day, id order by x) = 1",
        ],
    );
    refused(&[
        (
            "select day, lag(x) over (order by day) as a from orders",
            "the window of `lag` is not partitioned by `day`",
        ),
        (
            "select day from (select *, row_number() over (partition by id order by day desc) as n \
             from orders) as o where n = 1",
            "the window of `row_number`",
        ),
        (
            "select day, coalesce(sum(x) over (), 0) as s from orders",
            "the window of `sum`",
        ),
        (
            "select day, sum(x) over (partition by day + 1) as s from orders",
            "`sum`",
        ),
        (
            "select day, sum(x) over (partition by other) as s, other as day from orders",
            "`sum`",
        ),
        (
            "select other as day, day as d, sum(x) over (partition by day) as s from orders",
            "`sum`",
        ),
        (
            "select day from orders order by sum(x) over (order by day)",
            "`sum`",
        ),
        (
            "select o.day, sum(x) over (partition by i.day) as s from orders as o \
             left join items as i on o.day = i.day",
            "`sum`",
        ),
    ]);
    refused_in(
        &POSTGRES,
        &[(
            "select day, lag(x) over w as a from orders window w as (order by day)",
            "`lag`",
        )],
    );
    refused_in(
        &SNOWFLAKE,
        &[
            (
                "select day, id from orders qualify row_number() over (partition by id order by x) = 1",
                "`row_number`",
            ),
            (
                "select other as day, day as d from orders qualify row_number() over (partition by day order by x) = 1",
                "`row_number`",
            ),
        ],
    );
}

#[test]
fn unions() {
    proved(&[
        "select day, id from orders union all select day, id from items",
        "select id, day from orders union select id, day from items",
        "select day, id from orders except select day, id from items",
        "select day, id from orders intersect select day, id from items",
        "select day, id from orders except select day, id from rates",
        "select o.day, o.* from orders as o union all select i.day, i.* from items as i",
        "select * from orders where a union all select * from orders where b",
        "(select day from orders) union all (select day from items union select day from visits)",
        "with a as (select day from orders), b as (select day from items), \
         u as (select * from a union all select * from b) select day from u",
    ]);
    proved_in(
        &DUCKDB,
        &["select * from orders union all by name select * from items"],
    );
    let side = "the partition is not certainly the same column on both sides of `union`";
    refused(&[
        (
            "select day, id from orders union all select id, day from items",
            side,
        ),
        ("select * from orders union all select * from items", side),
        (
            "select day from orders union all select other as day from items",
            "certainly",
        ),
        (
            "select day from orders union all select day from rates",
            "one side of `union`",
        ),
        (
            "select day from rates except select day from orders",
            "one side of `except`",
        ),
        (
            "select day, id from orders union all select null, 0",
            "one side of `union`",
        ),
        (
            "select day from orders union all select day from items limit 3",
            "a limit",
        ),
        (
            "select day from orders union all select day from rates union all select day from items",
            "one side of `union`",
        ),
    ]);
}

#[test]
fn subqueries() {
    proved(&[
        "select day, (select max(x) from rates) as x from orders",
        "select day from orders where id in (select id from customers where big order by id limit 5)",
        "select day from orders as o where exists (select 1 from rates as r where r.day = o.day)",
        "select day from orders as o where exists (select 1 from items as i where i.day = o.day and i.id = o.id)",
        "select o.day, (select count(*) from items as i where o.day = i.day) as n from orders as o",
        "select o.day from orders as o where o.id not in (select i.id from items as i where i.day = o.day)",
        "select o.day from orders as o where exists (select 1 from rates as r where exists \
         (select 1 from items as i where i.day = o.day and i.id = r.id))",
    ]);
    let other = "a subquery reads partitions other";
    refused(&[
        (
            "select day from orders where x = (select max(day) from items)",
            "`max` is taken over",
        ),
        (
            "select day from orders where x = (select max(x) from items)",
            "`max` is taken over",
        ),
        (
            "select day from orders where id in (select id from items)",
            "certainly",
        ),
        (
            "select day from orders where id in (select day from items)",
            other,
        ),
        (
            "select day from orders as o where exists (select day from items as i where i.id = o.id)",
            other,
        ),
        (
            "select day from orders as o where exists (select day from items as i where i.day = o.day - 1)",
            other,
        ),
        (
            "select day from orders as o where exists \
             (select day from items as i where i.day = o.day or i.id = o.id)",
            other,
        ),
        (
            "select o.day, (select i.x from items as i where i.day = o.day \
             order by (select max(x) from visits) limit 1) as x from orders as o",
            "certainly",
        ),
        (
            // The inner `o` hides the outer one.
            "select day from orders as o where exists \
             (select 1 from items as i, rates as o where i.day = o.day)",
            "certainly",
        ),
        (
            "select day, count(*) as n from orders group by day having count(*) > (select count(*) from items)",
            "`count`",
        ),
        (
            "select day from orders order by (select max(x) from items)",
            "`max`",
        ),
        (
            "select (select max(x) from orders) as x, day from rates",
            "`max`",
        ),
        (
            "select o.day from orders as o join rates as r on r.x = (select max(x) from items)",
            "`max`",
        ),
        (
            "select o.day, sum(x) over (partition by o.day order by (select max(x) from items)) as s from orders as o",
            "`max`",
        ),
        (
            "select day from orders as o where exists (select 1 from items as i where i.day = o.day \
             and i.x = (select max(x) from visits))",
            "`max`",
        ),
    ]);
}

#[test]
fn names_of_common_table_expressions() {
    proved(&[
        "with orders as (select * from db.orders) select day from orders",
        "with rates as (select day from db.orders) select day from rates",
        "with unused as (select count(*) as n from orders) select day from items",
        "with a as (select day from orders) select * from (with a as (select day from items) \
         select day from a) as b",
    ]);
    refused(&[
        // The inner names hide the daily relations.
        (
            "with orders as (select * from rates) select day from orders",
            "reads no relation",
        ),
        (
            "with orders as (select id, other as day from db.orders) select day from orders",
            "certainly",
        ),
        (
            "with a as (select day from orders) select * from (with a as (select day from rates) \
             select day from a) as b",
            "reads no relation",
        ),
        (
            "with n as (select count(*) as n from orders) select day from items, n",
            "`count`",
        ),
        (
            "with recursive a as (select day from orders) select day from a",
            "recursive",
        ),
        (
            "with a as (select day from b), b as (select day from orders) select day from a",
            "`b` is read",
        ),
    ]);
    refused_in(
        &SNOWFLAKE,
        &[(
            "with orders as (select * from orders) select day from orders",
            "recursive",
        )],
    );
    proved_in(
        &POSTGRES,
        &["with orders as (select * from orders) select day from orders"],
    );
    refused_in(
        &POSTGRES,
        &[(
            "with gone as (delete from orders returning day) select day from orders",
            "changes data",
        )],
    );
}

#[test]
fn functions_in_from() {
    proved_in(
        &POSTGRES,
        &[
            "select o.day, t.tag from orders as o cross join unnest(o.tags) as t (tag)",
            "select o.day, n from orders as o, generate_series(1, o.amount) as n",
            "select o.day, c.id from orders as o, lateral (select id from customers as c where c.id = o.id limit 1) as c",
            "select day, unnest(tags) as tag from orders",
        ],
    );
    proved_in(
        &SNOWFLAKE,
        &["select o.day, f.value from orders o, lateral flatten(input => o.tags) f"],
    );
    refused_in(
        &POSTGRES,
        &[
            (
                "select o.day from orders as o, lateral (select day from items as i where i.id = o.id) as i",
                "lateral",
            ),
            (
                "select o.day from orders as o, query_all('orders') as q",
                "`query_all`",
            ),
            (
                "select o.day, query_to_xml('select 1', true, true, '') as x from orders as o",
                "`query_to_xml`",
            ),
            (
                "select o.day from orders as o, generate_series(1, (select count(*) from items)) as n",
                "`count`",
            ),
            ("select day from orders tablesample system (10)", "sample"),
            ("select day from orders for update", "clause behind"),
            (
                "select day from orders where seen > 'yesterday'",
                "'yesterday'",
            ),
            ("/* a /* b */ */ select day from orders", "comment"),
        ],
    );
}

#[test]
fn quoted_names_are_other_names() {
    proved_in(&POSTGRES, &["select \"day\" from \"db\".\"s\".\"orders\""]);
    proved_in(&DUCKDB, &["select \"DAY\" from \"ORDERS\""]);
    proved_in(&SNOWFLAKE, &["select \"DAY\" from ORDERS"]);
    refused_in(
        &POSTGRES,
        &[
            ("select \"DAY\" as day from orders", "certainly"),
            ("select day from \"ORDERS\"", "is read"),
        ],
    );
    refused_in(
        &SNOWFLAKE,
        &[("select \"day\" as day from orders", "certainly")],
    );
}

#[test]
fn a_view_carries_its_field() {
    let carried = |sql| carried_field(&POSTGRES, sql, DAILY, FIXED);
    assert_eq!(carried("select * from orders"), Ok("day".to_owned()));
    assert_eq!(
        carried("select id, day as d from orders"),
        Ok("d".to_owned())
    );
    assert_eq!(
        carried("select day as d, day from orders"),
        Ok("day".to_owned())
    );
    assert!(carried("select id from orders").is_err());
    assert!(carried("select day from rates").is_err());
    let same = [DailyRelation {
        name: "orders",
        field: "day",
    }];
    assert!(
        separable(
            &POSTGRES,
            "select day from orders",
            &same,
            &["orders"],
            "day"
        )
        .is_err()
    );
}
