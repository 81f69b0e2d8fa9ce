"""The orders warehouse as benchmarks use it: a copy of its project, and its queries as someone would
write them by hand, without a tool."""

import datetime
import pathlib
import shutil

ROOT = pathlib.Path(__file__).resolve().parent.parent
DAY = datetime.timedelta(1)

# The columns of the landing files, and so of the replica.
COLUMNS = {
    "transaction": {"id": "varchar", "order_id": "varchar", "status": "varchar", "created_at": "timestamp"},
    "orders": {"id": "varchar", "processed_timestamp": "timestamp", "customer_id": "varchar"},
    "order_lines": {"id": "varchar", "quantity": "integer", "variant_id": "varchar", "revenue": "integer", "order_id": "varchar"},
    "product": {"id": "varchar", "title": "varchar", "product_type": "varchar", "created_at": "timestamp"},
    "variant": {
        "id": "varchar", "product_id": "varchar", "price": "integer", "title": "varchar",
        "created_at": "timestamp", "updated_at": "timestamp", "ingested_at": "timestamp",
    },
}


def copy_project(folder):
    """Copies the project, without what was built."""
    folder.mkdir()
    for part in ["models", "macros", "seeds", "tests/warehouse"]:
        shutil.copytree(ROOT / part, folder / part)
    for part in ["dbt_project.yml", "profiles.yml"]:
        shutil.copy(ROOT / part, folder / part)


def payments(of, date):
    """The rows of `int_order_payment` of a day; `of` gives a table's rows of some days."""
    return (
        "select o.id as order_id, min(t.created_at) as first_attempt_at, "
        "min(case when t.status = 'success' then t.created_at end) as paid_at, "
        "cast(count(t.id) as integer) as attempts, case "
        "when count(case when t.status = 'success' then 1 end) > 0 then 'success' "
        "when count(t.id) > 0 then 'failure' else 'pending' end as order_status, o.partition_date "
        f"from {of('orders', date, date)} as o left join {of('transaction', date - DAY, date + 3 * DAY)} as t "
        "on t.order_id = o.id group by o.id, o.partition_date"
    )


def facts(of, date):
    """The rows of `dwd_orders_variant_status` of a day."""
    return (
        "with dumps as (select id as variant_id, product_id, row_number() over (partition by id order by "
        f"partition_date desc) as age from {of('variant', date - 3 * DAY, date)} as v), "
        "catalogue as (select variant_id, product_id from dumps where age = 1) "
        "select l.order_id, coalesce(p.order_status, 'pending') as order_status, "
        "coalesce(p.first_attempt_at, o.processed_timestamp) as order_created_at, "
        "o.processed_timestamp as order_processed_timestamp, l.quantity, l.variant_id, c.product_id, "
        f"l.revenue, l.partition_date from {of('order_lines', date, date)} as l "
        f"left join {of('orders', date, date)} as o on o.id = l.order_id "
        f"left join {of('int_order_payment', date, date)} as p on p.order_id = l.order_id "
        "left join catalogue as c on c.variant_id = l.variant_id"
    )
