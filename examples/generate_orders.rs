//! Writes the orders warehouse's data at any size, deterministic from its seed number.
//!
//! It streams: memory holds the catalogue and nothing else, but where there are the known cases: their
//! few hundred rows are sorted before they are written. So the rows of each file are in the order of
//! their ids.
//! It never reads anything. `seeds/README.md` lists the cases with known dates (`o-...` orders).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::ToSpan;
use jiff::civil::Date;

const USAGE: &str = "\
usage: cargo run --example generate_orders -- --out FOLDER [options]
  --layout landing  <table>/partition_date=<day>/part-000.csv, what the daily export writes (the default)
           inbox    what the backend sends: CSV pairs a batch, and the webhook's transactions
  --orders N        orders over all days (280)
  --days N          days (14); the known cases need 14
  --start DATE      the first day (2026-11-01)
  --products N      products in the catalogue (12)
  --seed N          seed number (7)
  --late FOLDER     what arrives later, one folder a step, in the layout `landing`";

const DAY: i64 = 86_400;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match generate(&options) {
        Ok(counts) => {
            println!("{counts}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot write below `{}`: {error}", options.out.display());
            ExitCode::FAILURE
        }
    }
}

/// The folder structure that is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Landing,
    Inbox,
}

struct Options {
    out: PathBuf,
    late: Option<PathBuf>,
    layout: Layout,
    orders: u64,
    days: i64,
    start: Date,
    products: usize,
    seed: u64,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            out: PathBuf::new(),
            late: None,
            layout: Layout::Landing,
            orders: 280,
            days: 14,
            start: jiff::civil::date(2026, 11, 1),
            products: 12,
            seed: 7,
        };
        while let Some(name) = args.next() {
            let value = args.next().ok_or(format!("`{name}` needs a value"))?;
            let wrong = format!("`{value}` is no value of `{name}`");
            match name.as_str() {
                "--out" => options.out = value.into(),
                "--late" => options.late = Some(value.into()),
                "--layout" => {
                    options.layout = match value.as_str() {
                        "landing" => Layout::Landing,
                        "inbox" => Layout::Inbox,
                        _ => return Err(wrong),
                    }
                }
                "--orders" => options.orders = value.parse().map_err(|_| wrong)?,
                "--days" => options.days = value.parse().map_err(|_| wrong)?,
                "--start" => options.start = value.parse().map_err(|_| wrong)?,
                "--products" => options.products = value.parse().map_err(|_| wrong)?,
                "--seed" => options.seed = value.parse().map_err(|_| wrong)?,
                _ => return Err(format!("`{name}` is no option")),
            }
        }
        if options.out.as_os_str().is_empty() {
            return Err("`--out` is missing".into());
        }
        if options.days < 1 || options.products < 4 {
            return Err("at least one day and four products are needed".into());
        }
        Ok(options)
    }

    fn date(&self, day: i64) -> Date {
        self.start
            .checked_add(day.days())
            .expect("within the calendar")
    }

    /// A timestamp as text, from seconds since the first day's midnight.
    fn time(&self, seconds: i64) -> String {
        let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        let (hour, minute) = (second / 3600, second / 60 % 60);
        format!(
            "{} {hour:02}:{minute:02}:{:02}",
            self.date(day),
            second % 60
        )
    }

    fn has_cases(&self) -> bool {
        self.days >= 14
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..high`.
    fn within(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low).unsigned_abs()).cast_signed()
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }
}

/// The rows of one table, spread over the files of its layout.
struct Table {
    name: &'static str,
    header: &'static str,
    layout: Layout,
    out: PathBuf,
    files: BTreeMap<(i64, u8), BufWriter<File>>,
    /// The rows that are still to be sorted; `None` where they come in order.
    unsorted: Option<BTreeMap<(i64, u8), Vec<String>>>,
    rows: u64,
}

impl Table {
    fn new(name: &'static str, header: &'static str, options: &Options) -> Self {
        Self {
            name,
            header,
            layout: options.layout,
            out: options.out.clone(),
            files: BTreeMap::new(),
            unsorted: options.has_cases().then(BTreeMap::new),
            rows: 0,
        }
    }

    /// Opens a day, so that its file exists even when no row comes.
    fn open(&mut self, options: &Options, day: i64, batch: u8) -> io::Result<()> {
        if !self.files.contains_key(&(day, batch)) {
            let (name, date) = (self.name, options.date(day));
            let path = match (self.layout, name) {
                (Layout::Inbox, "transaction") => format!("webhook/{date}.csv"),
                (Layout::Inbox, "product" | "variant") => {
                    format!("products/batch={date}/{name}.csv")
                }
                (Layout::Inbox, _) => format!("orders/batch={date}-{batch}/{name}.csv"),
                _ => format!("{name}/partition_date={date}/part-000.csv"),
            };
            let mut file = create(&self.out.join(path))?;
            writeln!(file, "{}", self.header)?;
            self.files.insert((day, batch), file);
        }
        Ok(())
    }

    fn add(&mut self, options: &Options, day: i64, batch: u8, row: &str) -> io::Result<()> {
        self.rows += 1;
        self.open(options, day, batch)?;
        if let Some(rows) = &mut self.unsorted {
            rows.entry((day, batch)).or_default().push(row.to_owned());
            return Ok(());
        }
        let file = self.files.get_mut(&(day, batch)).expect("opened above");
        writeln!(file, "{row}")
    }

    /// Writes out all days up to this one.
    fn close(&mut self, day: i64) -> io::Result<()> {
        while let Some(first) = self
            .files
            .first_entry()
            .filter(|entry| entry.key().0 <= day)
        {
            let (key, mut file) = first.remove_entry();
            let rows = self.unsorted.as_mut().and_then(|all| all.remove(&key));
            let mut rows = rows.unwrap_or_default();
            rows.sort_unstable();
            for row in rows {
                writeln!(file, "{row}")?;
            }
            file.flush()?;
        }
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    Ok(BufWriter::with_capacity(1 << 16, File::create(path)?))
}

#[derive(Clone)]
struct Product {
    id: String,
    title: String,
    kind: &'static str,
    created: i64,
    variants: Vec<Variant>,
    removed: Option<i64>,
    touched: bool,
}

#[derive(Clone)]
struct Variant {
    id: String,
    title: &'static str,
    price: i64,
    updated: i64,
    ingested: i64,
}

/// The products of the first day; the last of them comes on the ninth day where there are cases.
fn catalogue(options: &Options, random: &mut Random) -> Vec<Product> {
    const KINDS: [&str; 4] = ["kitchen", "apparel", "stationery", "garden"];
    const NAMES: [&str; 6] = [
        "Teapot",
        "Wool scarf",
        "Notebook",
        "Trowel",
        "Mug, \"\"large\"\"",
        "Crêpe pan",
    ];
    const SIZES: [&str; 4] = ["small", "medium", "large", "extra large"];
    (1..=options.products)
        .map(|number| {
            let last = options.has_cases() && number == options.products;
            let created = if last {
                8 * DAY + 32_400
            } else {
                -random.within(30, 300) * DAY
            };
            let name = NAMES[(number - 1) % NAMES.len()];
            let quote = if name.contains(',') { "\"" } else { "" };
            let variants = (0..1 + number % SIZES.len())
                .map(|size| Variant {
                    id: format!("v{number:05}-{}", size + 1),
                    title: SIZES[size],
                    price: random.within(3, 90) * 100 + 50 * random.within(0, 2) - 1,
                    updated: created,
                    ingested: created + 600,
                })
                .collect();
            Product {
                id: format!("p{number:05}"),
                title: format!("{quote}{name} {number}{quote}"),
                kind: KINDS[number % KINDS.len()],
                created,
                variants,
                removed: None,
                touched: true,
            }
        })
        .collect()
}

/// The prices and removals of a day; the order of the calls is the order of the day.
fn change_catalogue(products: &mut [Product], day: i64, options: &Options, random: &mut Random) {
    let mut change = |product: usize, variant: usize, price: i64, second: i64| {
        let product = &mut products[product];
        let at = day * DAY + second;
        product.touched = true;
        let variant = &mut product.variants[variant];
        (variant.price, variant.updated, variant.ingested) = (price, at, at + 60);
    };
    if options.has_cases() {
        match day {
            3 => change(0, 0, 2_600, 36_000), // A -> B
            5 => change(1, 0, 4_200, 30_000), // once
            6 => change(0, 0, 2_400, 50_000), // B -> A
            9 => {
                change(1, 1, 9_900, 28_000); // twice a day: a dump shows the second only
                change(1, 1, 5_100, 70_000);
            }
            _ => {}
        }
        if day == 9 {
            products[2].removed = Some(day * DAY + 54_000);
            products[2].touched = true;
        }
    }
    // The first three products are left to the cases.
    for product in products.iter_mut().skip(3) {
        for variant in &mut product.variants {
            if day > 0 && product.created < day * DAY && random.percent(1) {
                variant.price += 100;
                variant.updated = day * DAY + random.within(0, DAY - 60);
                variant.ingested = variant.updated + 60;
                product.touched = true;
            }
        }
    }
}

struct Tables {
    transaction: Table,
    orders: Table,
    order_lines: Table,
    product: Table,
    variant: Table,
}

/// One line of an order: the variant's id, how many, and the line's revenue.
type Line<'a> = (&'a str, i64, i64);
/// One attempt to pay: when, and whether it succeeded.
type Attempt = (i64, bool);

fn generate(options: &Options) -> io::Result<String> {
    let table = |name, header| Table::new(name, header, options);
    let mut tables = Tables {
        transaction: table("transaction", "id,order_id,status,created_at"),
        orders: table("orders", "id,processed_timestamp,customer_id"),
        order_lines: table("order_lines", "id,quantity,variant_id,revenue,order_id"),
        product: table("product", "id,title,product_type,created_at"),
        variant: table(
            "variant",
            "id,product_id,price,title,created_at,updated_at,ingested_at",
        ),
    };
    let mut random = Random(options.seed);
    let mut products = catalogue(options, &mut random);
    if options.has_cases() {
        products[0].variants[0].price = 2_400;
    }
    let empty_day = if options.has_cases() { 7 } else { -1 };
    let busy_days = options.days.unsigned_abs() - u64::from(options.has_cases());
    let customers = i64::try_from(options.orders / 5).unwrap_or(i64::MAX).max(4);
    let mut late = Late::default();
    let (mut number, mut busy) = (0, 0);
    for day in 0..options.days {
        for table in [
            &mut tables.orders,
            &mut tables.order_lines,
            &mut tables.transaction,
        ] {
            if options.layout == Layout::Landing {
                table.open(options, day, 0)?;
            }
        }
        let mut count = 0;
        if day != empty_day {
            busy += 1;
            count = options.orders * busy / busy_days - options.orders * (busy - 1) / busy_days;
        }
        let offered: Vec<&Variant> = products
            .iter()
            .filter(|product| product.created < day * DAY && product.removed.is_none())
            .flat_map(|product| &product.variants)
            .collect();
        for index in 0..count {
            number += 1;
            let step = DAY / i64::try_from(count).expect("fewer orders than seconds overflow");
            let at = day * DAY
                + (i64::try_from(index).expect("counted") * DAY)
                    / i64::try_from(count).expect("counted")
                + random.within(0, step.max(1));
            let mut lines = Vec::with_capacity(4);
            for _ in 0..1 + random.within(0, 3) * random.within(0, 2) {
                let variant = offered
                    [usize::try_from(random.next() % offered.len() as u64).expect("an index")];
                let quantity = random.within(1, 6);
                let full = variant.price * quantity;
                let revenue = if random.percent(10) {
                    full * 9 / 10
                } else {
                    full
                };
                lines.push((variant.id.as_str(), quantity, revenue));
            }
            let attempts = attempts(at, &mut random);
            let customer = format!("c{:07}", 1 + random.within(0, customers));
            let order = Order {
                id: format!("{number:08}"),
                at,
                customer,
                lines,
                attempts,
                arrives: Arrives::InTime,
            };
            order.write(options, &mut tables, &mut late)?;
        }
        if options.has_cases() {
            for order in cases(day) {
                order.write(options, &mut tables, &mut late)?;
            }
        }
        change_catalogue(&mut products, day, options, &mut random);
        dump(options, &mut tables, &mut products, day)?;
        for table in [&mut tables.orders, &mut tables.order_lines] {
            table.close(day - i64::from(options.layout == Layout::Inbox))?;
        }
        tables.product.close(day)?;
        tables.variant.close(day)?;
        // The next day's orders may still have been paid today.
        tables.transaction.close(day - 1)?;
    }
    let mut counts = String::new();
    for table in [
        &mut tables.transaction,
        &mut tables.orders,
        &mut tables.order_lines,
        &mut tables.product,
        &mut tables.variant,
    ] {
        table.close(i64::MAX)?;
        write!(
            counts,
            "{}{}: {}",
            if counts.is_empty() { "" } else { ", " },
            table.name,
            table.rows
        )
        .expect("a string takes all");
    }
    if let (Some(folder), true) = (&options.late, options.has_cases()) {
        late.write(options, folder)?;
    }
    Ok(counts)
}

/// How an ordinary order was paid.
fn attempts(at: i64, random: &mut Random) -> Vec<Attempt> {
    let first = at + random.within(-300, 60);
    match random.next() % 100 {
        0..3 => vec![],
        3..8 => vec![(first, false)],
        8..16 => vec![(first, false), (first + random.within(60, 1_800), true)],
        16..20 => {
            // Days later, still inside the window of three days after the order's day.
            let day = at.div_euclid(DAY) + random.within(1, 4);
            vec![(first, false), (day * DAY + random.within(0, DAY), true)]
        }
        _ => vec![(first, true)],
    }
}

/// When an order, or its last transaction, reaches the landing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrives {
    InTime,
    OrderLater,
    LastPaymentLater,
}

struct Order<'a> {
    id: String,
    at: i64,
    customer: String,
    lines: Vec<Line<'a>>,
    attempts: Vec<Attempt>,
    arrives: Arrives,
}

impl Order<'_> {
    fn write(&self, options: &Options, tables: &mut Tables, late: &mut Late) -> io::Result<()> {
        let (id, day) = (&self.id, self.at.div_euclid(DAY));
        let held = options.layout == Layout::Landing;
        // Four batches a day in the inbox; what is late comes with a fifth.
        let mut batch = u8::try_from(self.at.rem_euclid(DAY) / (DAY / 4) + 1).expect("1 to 4");
        let order_later = self.arrives == Arrives::OrderLater;
        if order_later {
            batch = 5;
        }
        if held {
            batch = 0;
        }
        let row = format!("o{id},{},{}", options.time(self.at), self.customer);
        if held && order_later {
            late.order.push(row);
        } else {
            if options.late.is_some() && day == Late::REORDERED {
                late.reordered.push(row.clone());
            }
            tables.orders.add(options, day, batch, &row)?;
        }
        for (index, (variant, quantity, revenue)) in self.lines.iter().enumerate() {
            let line = index + 1;
            let row = format!("l{id}-{line},{quantity},{variant},{revenue},o{id}");
            if held && order_later {
                late.order_lines.push(row);
                continue;
            }
            if options.late.is_some() && day == Late::CORRECTED {
                late.corrected.push(if id == "-corrected" {
                    format!(
                        "l{id}-{line},{},{variant},{},o{id}",
                        quantity + 1,
                        revenue * 2
                    )
                } else {
                    row.clone()
                });
            }
            tables.order_lines.add(options, day, batch, &row)?;
        }
        for (index, &(at, succeeded)) in self.attempts.iter().enumerate() {
            // Nothing before the first day, and nothing that has not happened yet.
            let at = at.max(0);
            if at >= options.days * DAY {
                continue;
            }
            let status = if succeeded { "success" } else { "failure" };
            let attempt = index + 1;
            let row = format!("t{id}-{attempt},o{id},{status},{}", options.time(at));
            if held && self.arrives == Arrives::LastPaymentLater && attempt == self.attempts.len() {
                late.payment.push(row);
            } else {
                tables
                    .transaction
                    .add(options, at.div_euclid(DAY), 0, &row)?;
            }
        }
        Ok(())
    }
}

/// The orders with known dates, by day counted from 0.
fn cases(day: i64) -> Vec<Order<'static>> {
    let order = |name: &str,
                 clock: (i64, i64, i64),
                 lines: &[Line<'static>],
                 attempts: &[(i64, i64, i64, bool)]| Order {
        id: format!("-{name}"),
        at: day * DAY + clock.0 * 3600 + clock.1 * 60 + clock.2,
        customer: "c0000001".into(),
        lines: lines.to_vec(),
        attempts: attempts
            .iter()
            .map(|&(days, hour, minute, succeeded)| {
                ((day + days) * DAY + hour * 3600 + minute * 60, succeeded)
            })
            .collect(),
        arrives: Arrives::InTime,
    };
    const TEA: Line<'static> = ("v00001-1", 1, 2_400);
    const SCARF: Line<'static> = ("v00002-1", 2, 7_800);
    const BOOK: Line<'static> = ("v00003-1", 3, 2_997);
    match day {
        1 => vec![
            order(
                "three-lines",
                (9, 0, 0),
                &[TEA, SCARF, BOOK],
                &[(0, 9, 0, false), (0, 9, 4, true)],
            ),
            order("no-payment", (11, 0, 0), &[TEA], &[]),
        ],
        2 => vec![order(
            "paid-two-days-later",
            (14, 0, 0),
            &[SCARF],
            &[(0, 14, 1, false), (2, 8, 30, true)],
        )],
        3 => vec![
            order(
                "paid-the-day-before",
                (0, 5, 0),
                &[BOOK],
                &[(-1, 23, 58, true)],
            ),
            order("last-second", (23, 59, 59), &[TEA], &[(0, 23, 59, true)]),
        ],
        4 => vec![order(
            "first-second",
            (0, 0, 0),
            &[TEA, BOOK],
            &[(0, 0, 0, true)],
        )],
        5 => vec![order(
            "failed-after-success",
            (10, 0, 0),
            &[SCARF],
            &[(0, 10, 0, true), (1, 10, 0, false)],
        )],
        6 => vec![order(
            "failed-for-good",
            (16, 0, 0),
            &[BOOK],
            &[(0, 16, 0, false), (1, 7, 0, false), (2, 7, 0, false)],
        )],
        9 => vec![order(
            "variant-removed",
            (10, 0, 0),
            &[BOOK, TEA],
            &[(0, 10, 1, true)],
        )],
        10 => vec![
            order("corrected", (12, 0, 0), &[TEA, SCARF], &[(0, 12, 0, true)]),
            Order {
                arrives: Arrives::LastPaymentLater,
                ..order(
                    "late-payment",
                    (15, 0, 0),
                    &[SCARF, TEA],
                    &[(0, 15, 1, false), (1, 22, 50, true)],
                )
            },
        ],
        12 => vec![Order {
            arrives: Arrives::OrderLater,
            ..order("late-order", (18, 0, 0), &[TEA], &[(0, 18, 0, true)])
        }],
        _ => vec![],
    }
}

/// The full dump of a day, or in the inbox what changed on it.
fn dump(
    options: &Options,
    tables: &mut Tables,
    products: &mut Vec<Product>,
    day: i64,
) -> io::Result<()> {
    let inbox = options.layout == Layout::Inbox;
    for product in &mut *products {
        if product.created >= (day + 1) * DAY
            || product.removed.is_some()
            || (inbox && !product.touched)
        {
            continue;
        }
        product.touched = false;
        let Product {
            id,
            title,
            kind,
            created,
            ..
        } = product;
        let created = options.time(*created);
        tables
            .product
            .add(options, day, 0, &format!("{id},{title},{kind},{created}"))?;
        for Variant {
            id: variant,
            title,
            price,
            updated,
            ingested,
        } in &product.variants
        {
            let (updated, ingested) = (options.time(*updated), options.time(*ingested));
            let row = format!("{variant},{id},{price},{title},{created},{updated},{ingested}");
            tables.variant.add(options, day, 0, &row)?;
        }
    }
    if inbox && products.iter().any(|product| product.removed.is_some()) {
        let path = format!("products/batch={}/removed.csv", options.date(day));
        let mut file = create(&options.out.join(path))?;
        writeln!(file, "id,removed_at")?;
        for product in &*products {
            if let Some(at) = product.removed {
                writeln!(file, "{},{}", product.id, options.time(at))?;
            }
        }
    }
    products.retain(|product| product.removed.is_none());
    Ok(())
}

/// What reaches the landing after the first two weeks were built.
#[derive(Default)]
struct Late {
    payment: Vec<String>,
    order: Vec<String>,
    order_lines: Vec<String>,
    corrected: Vec<String>,
    reordered: Vec<String>,
}

impl Late {
    /// The day whose orders are sent again in another order.
    const REORDERED: i64 = 9;
    /// The day whose lines are sent again, one of them corrected.
    const CORRECTED: i64 = 10;

    fn write(mut self, options: &Options, folder: &Path) -> io::Result<()> {
        const ORDERS: &str = "id,processed_timestamp,customer_id";
        const LINES: &str = "id,quantity,variant_id,revenue,order_id";
        const PAYMENTS: &str = "id,order_id,status,created_at";
        self.corrected.sort_unstable();
        self.reordered.sort_unstable();
        self.reordered.reverse();
        let bad = vec![format!(
            "t-bad-1,o-failed-for-good,sucess,{}",
            options.time(13 * DAY + 43_200)
        )];
        for (step, table, day, part, header, rows) in [
            (
                "late-payment",
                "transaction",
                11,
                1,
                PAYMENTS,
                &self.payment,
            ),
            ("late-order", "orders", 12, 1, ORDERS, &self.order),
            ("late-order", "order_lines", 12, 1, LINES, &self.order_lines),
            (
                "corrected-lines",
                "order_lines",
                10,
                0,
                LINES,
                &self.corrected,
            ),
            ("same-rows", "orders", 9, 0, ORDERS, &self.reordered),
            ("bad-file", "transaction", 13, 1, PAYMENTS, &bad),
        ] {
            let date = options.date(day);
            let path = format!("{step}/{table}/partition_date={date}/part-00{part}.csv");
            let mut file = create(&folder.join(path))?;
            writeln!(file, "{header}")?;
            for row in rows {
                writeln!(file, "{row}")?;
            }
            file.flush()?;
        }
        Ok(())
    }
}
