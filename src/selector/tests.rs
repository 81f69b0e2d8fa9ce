use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::manifest::fixture::node;
use crate::manifest::{GenericTest, TestInfo};
use crate::source::{SourceFile, Span};

/// raw (source) -> stg_orders -> orders -> report; customers -> orders; tests on some of them.
fn shop() -> (Manifest, Graph) {
    let mut manifest = Manifest {
        project: "shop".into(),
        ..Manifest::default()
    };
    let mut add = |mut node: Node, path: &str, edit: &dyn Fn(&mut Node)| {
        node.original_path = path.to_owned();
        let folders = path.split('/').skip(1);
        let mut fqn = vec![node.package.to_string()];
        fqn.extend(folders.map(str::to_owned));
        *fqn.last_mut().expect("a name") = node.name.clone();
        node.fqn = fqn;
        edit(&mut node);
        manifest
            .nodes
            .insert(node.unique_id.clone(), Arc::new(node));
    };
    let nothing = |_: &mut Node| {};
    add(
        node("model.shop.stg_orders", &["source.shop.raw.orders"]),
        "models/staging/stg_orders.sql",
        &|node| {
            node.tags = vec!["nightly".to_owned()];
            node.patch_path = Some("shop://models/staging/schema.yml".to_owned());
        },
    );
    add(
        node("seed.shop.customers", &[]),
        "seeds/customers.csv",
        &nothing,
    );
    add(
        node(
            "model.shop.orders",
            &["model.shop.stg_orders", "seed.shop.customers"],
        ),
        "models/marts/orders.sql",
        &|node| {
            node.config
                .set
                .insert("materialized".to_owned(), "table".into());
            node.config
                .set
                .insert("meta".to_owned(), json!({"owner": "ann"}));
            node.meta.insert("owner".to_owned(), "ann".into());
        },
    );
    add(
        node(
            "model.shop.report",
            &["model.shop.orders", "model.lib.util"],
        ),
        "models/marts/report.sql",
        &nothing,
    );
    add(node("model.lib.util", &[]), "models/util.sql", &nothing);
    let generic = |node: &mut Node| {
        node.test = Some(TestInfo {
            generic: Some(GenericTest {
                name: "relationships".to_owned(),
                namespace: None,
                arguments: serde_json::Map::new(),
            }),
            ..TestInfo::default()
        });
    };
    add(
        node(
            "test.shop.rel",
            &["model.shop.orders", "seed.shop.customers"],
        ),
        "models/marts/schema.yml",
        &generic,
    );
    add(
        node("test.shop.single", &["model.shop.stg_orders"]),
        "tests/single.sql",
        &|node| {
            node.config.set.insert("severity".to_owned(), "warn".into());
        },
    );
    let file = SourceFile::inline("models/sources.yml", "");
    let source =
        crate::manifest::fixture::source("source.shop.raw.orders", &Span::new(&file, 0..0));
    manifest
        .sources
        .insert(source.unique_id.clone(), Arc::new(source));
    manifest.nodes.sort_keys();
    let graph = Graph::new(&manifest).expect("no cycle");
    (manifest, graph)
}

fn request(select: &str, exclude: &str) -> Request {
    let words = |text: &str| {
        if text.is_empty() {
            Vec::new()
        } else {
            vec![text.to_owned()]
        }
    };
    Request {
        select: words(select),
        exclude: words(exclude),
        ..Request::default()
    }
}

/// The last parts of the selected ids, in order.
fn names(request: &Request) -> String {
    let (manifest, graph) = shop();
    let selection = select(&manifest, &graph, request).expect("a selection");
    let names = selection.ids.iter().map(|id| {
        id.as_str()
            .splitn(3, '.')
            .nth(2)
            .expect("a name")
            .to_owned()
    });
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn criteria_select_as_in_dbt() {
    let everything = "util orders report stg_orders customers raw.orders rel single";
    let table = [
        ("", everything),
        ("stg_orders", "stg_orders single"),
        ("fqn:stg_orders", "stg_orders single"),
        ("marts", "orders report rel"),
        ("shop.marts.orders", "orders rel"),
        ("marts.orders", "orders rel"),
        ("orders.marts", ""),
        ("shop.*", "orders report stg_orders customers rel single"),
        ("shop.marts.r*", "report rel"),
        ("*orders", "orders stg_orders rel single"),
        ("or?ers", "orders rel"),
        ("[op]*s", "orders rel"),
        ("lib", "util"),
        ("package:lib", "util"),
        ("package:this,tag:nightly", "stg_orders single"),
        ("models/marts", "orders report rel"),
        ("./models/marts/", "orders report rel"),
        (
            "path:models",
            "util orders report stg_orders raw.orders rel single",
        ),
        ("models/*/stg_orders.sql", "stg_orders single"),
        (
            "models/**/*.sql",
            "util orders report stg_orders rel single",
        ),
        ("models/staging/schema.yml", "stg_orders single"),
        ("orders.sql", "orders rel"),
        ("file:stg_orders", "stg_orders single"),
        ("file:*.csv", "customers rel"),
        ("tag:nightly", "stg_orders single"),
        ("tag:night*", "stg_orders single"),
        ("source:raw", "raw.orders"),
        ("source:raw.orders", "raw.orders"),
        ("source:shop.raw.*", "raw.orders"),
        ("source:*+1", "stg_orders raw.orders single"),
        ("resource_type:seed", "customers rel"),
        ("resource_type:exposure", ""),
        ("config.materialized:table", "orders rel"),
        ("config.materialized:view", "util report stg_orders single"),
        ("config.meta.owner:ann", "orders rel"),
        ("config.severity:WARN", "single"),
        ("config.enabled:true,source:raw", "raw.orders"),
        ("test_type:generic", "rel"),
        ("test_type:singular", "single"),
        ("test_type:data", "rel single"),
        ("test_name:rel*", "rel"),
        (
            "+orders",
            "orders stg_orders customers raw.orders rel single",
        ),
        ("1+orders", "orders stg_orders customers rel single"),
        ("0+orders", "orders rel"),
        ("stg_orders+", "orders report stg_orders rel single"),
        ("stg_orders+1", "orders stg_orders rel single"),
        (
            "1+orders+1",
            "orders report stg_orders customers rel single",
        ),
        (
            "@customers",
            "util orders report stg_orders customers raw.orders rel single",
        ),
        ("+report,tag:nightly", "stg_orders single"),
        ("util stg_orders", "util stg_orders single"),
        ("stg_orders,orders", ""),
    ];
    for (words, expected) in table {
        assert_eq!(names(&request(words, "")), expected, "--select {words}");
    }
}

#[test]
fn excluding_takes_tests_along() {
    assert_eq!(names(&request("marts", "orders")), "report");
    assert_eq!(
        names(&request("", "resource_type:model source:* package:lib")),
        "customers"
    );
    assert_eq!(
        names(&request("stg_orders", "test_type:singular")),
        "stg_orders"
    );
}

#[test]
fn tests_come_along_as_the_mode_says() {
    use IndirectSelection::*;
    let with = |words: &str, indirect| {
        names(&Request {
            indirect,
            ..request(words, "")
        })
    };
    assert_eq!(with("orders", Eager), "orders rel");
    assert_eq!(with("orders", Cautious), "orders");
    assert_eq!(with("orders customers", Cautious), "orders customers rel");
    assert_eq!(with("orders", Buildable), "orders rel");
    assert_eq!(with("customers", Buildable), "customers");
    assert_eq!(with("stg_orders", Empty), "stg_orders");
}

#[test]
fn types_are_filtered_last() {
    let mut only = request("orders+", "");
    only.resource_types = vec!["model".to_owned()];
    assert_eq!(names(&only), "orders report");
    let mut not = request("+orders", "");
    not.exclude_resource_types = vec!["test source".to_owned()];
    assert_eq!(names(&not), "orders stg_orders customers");
    let mut kinds = request("", "");
    kinds.kinds = vec![ResourceType::Test];
    assert_eq!(names(&kinds), "rel single");
}

fn complaints(request: &Request) -> String {
    let (manifest, graph) = shop();
    let found = match select(&manifest, &graph, request) {
        Ok(selection) => selection.warnings,
        Err(errors) => errors,
    };
    found
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn what_matches_nothing_is_told_with_a_near_name() {
    let words = "ordrs+ tag:nightli source:raw.order models/stagin raw zebra orders,tag:none";
    insta::assert_snapshot!(complaints(&request(words, "custmers")), @"
    warning[empty-selection]: the selector `ordrs+` matches no enabled node
     |
     = help: did you mean `orders+`?
    warning[empty-selection]: the selector `tag:nightli` matches no enabled node
     |
     = help: did you mean `tag:nightly`?
    warning[empty-selection]: the selector `source:raw.order` matches no enabled node
     |
     = help: did you mean `source:raw.orders`?
    warning[empty-selection]: the selector `models/stagin` matches no enabled node
     |
     = help: did you mean `models/staging`?
    warning[empty-selection]: the selector `raw` matches no enabled node
     |
     = help: did you mean `source:raw`?
    warning[empty-selection]: the selector `zebra` matches no enabled node
    warning[empty-selection]: the selector `orders,tag:none` matches no enabled node
    warning[empty-selection]: the selector `custmers` matches no enabled node
     |
     = help: did you mean `customers`?
    ");
}

#[test]
fn selectors_that_mean_nothing_are_errors() {
    let mut request = request(
        "state:modified tags:x @a+ tag: test_type:odd source:a.b.c.d config:x zap:y",
        "",
    );
    request.resource_types = vec!["modle".to_owned()];
    insta::assert_snapshot!(complaints(&request), @"
    error[unsupported]: the selector method `state:` is not supported yet (in `state:modified`)
     |
     = help: supported are `access`, `config`, `file`, `fqn`, `group`, `package`, `path`, `resource_type`, `source`, `tag`, `test_name`, `test_type`
    error[bad-selector]: no selector method is called `tags` (in `tags:x`)
     |
     = help: did you mean `tag:`?
    error[bad-selector]: `@a+` has both `@` and a `+` after it
     |
     = help: `@` takes all descendants already
    error[bad-selector]: the selector `tag:` names nothing
     |
     = help: a selector is a name, a path or `method:value`, with `+` around it for relatives
    error[bad-selector]: no tests are of type `odd` (in `test_type:odd`)
     |
     = help: it is one of `generic`, `singular`, `data`, `unit`
    error[bad-selector]: the selector `source:a.b.c.d` has too many parts
     |
     = help: it is `source:name`, `source:name.table` or `source:package.name.table`
    error[bad-selector]: the selector `config:x` does not say which config
     |
     = help: write it as `config.materialized:view`
    error[bad-selector]: no selector method is called `zap` (in `zap:y`)
     |
     = help: supported are `access`, `config`, `file`, `fqn`, `group`, `package`, `path`, `resource_type`, `source`, `tag`, `test_name`, `test_type`
    error[bad-selector]: `--resource-type` has no resource type `modle`
     |
     = help: did you mean `model`?
    ");
}
