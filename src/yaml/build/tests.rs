//! What the tree of a file looks like, and what broken files say.

use super::*;

fn tree(text: &str) -> Yaml {
    parse(&SourceFile::inline("models/schema.yml", text)).expect("valid YAML")
}

fn json(text: &str) -> String {
    tree(text).to_json().to_string()
}

fn error(text: &str) -> String {
    parse(&SourceFile::inline("models/schema.yml", text))
        .expect_err("broken YAML")
        .render(false)
}

#[test]
fn a_tree_has_every_kind_of_value() {
    assert_eq!(json(""), "null");
    assert_eq!(json("# nothing\n"), "null");
    assert_eq!(
        json("a: 1\nb: [x, 2.5, yes]\nc:\n- d: ~\n  e: 2024-01-31\n'f': '1'\n1: on\n"),
        r#"{"a":1,"b":["x",2.5,true],"c":[{"d":null,"e":"2024-01-31"}],"f":"1","1":true}"#
    );
    assert_eq!(json("!!str 1"), r#""1""#);
    assert_eq!(json("on: !!int '3'"), r#"{"True":3}"#);
}

#[test]
fn scalars_of_many_lines_are_folded_as_python_folds_them() {
    assert_eq!(
        json("a: |\n  x\n   y\n\nb: >-\n  one\n  two\n\n  three\nc: |\n  last"),
        r#"{"a":"x\n y\n","b":"one two\nthree","c":"last"}"#
    );
    assert_eq!(json("a: plain\n  goes on\n"), r#"{"a":"plain goes on"}"#);
}

proptest::proptest! {
    /// Whatever the text, there is a tree or an error, and every place lies in the text.
    #[test]
    fn no_text_breaks_the_parser(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "a", "ä", "é: ", ": ", "- ", "\n", "\n  ", "\n    ", "[", "]", "{", "}", "{{", "}}", ", ",
                "'", "\"", "|", ">-", "&x ", "*x", "<<: ", "? ", "#", " ", "\t", "!!str ", "~", "1", "\u{feff}",
                "---", "\r\n", "%", "\\",
            ]),
            0..24,
        )
    ) {
        let text = parts.concat();
        let file = SourceFile::inline("a.yml", text.clone());
        match parse(&file) {
            Ok(root) => collect(&root, &text, &mut Vec::new()),
            Err(error) => proptest::prop_assert!(error.render(false).contains("a.yml")),
        }
    }
}

#[test]
fn every_place_is_in_bytes() {
    let text = "größe:\n  - ä: 'ü'\n    leer:\n    z: [1, {k: v}]  # end\nlast: |\n  ö\n  x\n";
    let root = tree(text);
    let mut places = Vec::new();
    collect(&root, text, &mut places);
    insta::assert_snapshot!(places.join("\n"), @r#"
    "größe:\n  - ä: 'ü'\n    leer:\n    z: [1, {k: v}]  # end\nlast: |\n  ö\n  x"
    key "größe"
    "- ä: 'ü'\n    leer:\n    z: [1, {k: v}]"
    "ä: 'ü'\n    leer:\n    z: [1, {k: v}]"
    key "ä"
    "'ü'"
    key "leer"
    ""
    key "z"
    "[1, {k: v}]"
    "1"
    "{k: v}"
    key "k"
    "v"
    key "last"
    "ö\n  x"
    "#);
    let empty = root.get("größe").expect("key").items()[0].get("leer");
    assert_eq!(
        empty.expect("key").range.start,
        text.find("leer:").expect("text") + 5
    );
}

fn collect(node: &Yaml, text: &str, places: &mut Vec<String>) {
    places.push(format!("{:?}", &text[node.range.clone()]));
    for item in node.items() {
        collect(item, text, places);
    }
    for (key, value) in node.entries() {
        places.push(format!("key {:?}", &text[key.range.clone()]));
        collect(value, text, places);
    }
}

#[test]
fn anchors_are_copied_and_merged() {
    let text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  y: 5\n  <<: [*a, *b]\nd: *a\n";
    let root = tree(text);
    assert_eq!(
        root.get("c").expect("key").to_json().to_string(),
        r#"{"x":1,"y":5,"z":4}"#
    );
    let copy = root.get("d").expect("key");
    assert_eq!(&text[copy.range.clone()], "*a");
    assert_eq!(&text[copy.entries()[0].0.range.clone()], "x");
}

#[test]
fn small_files_cannot_grow_without_end() {
    let mut text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
    for level in 1..8 {
        let alias = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    assert!(error(&text).contains("too many values"));
}

#[test]
fn strings_can_be_mapped_where_they_stand() {
    let text = "a: [x, 1]\nb: {c: y}\n";
    let mapped = tree(text)
        .map_strings(&mut |text, range| serde_json::json!(format!("{text}@{}", range.start)));
    assert_eq!(
        mapped.to_json().to_string(),
        r#"{"a":["x@4",1],"b":{"c":"y@17"}}"#
    );
}

#[test]
fn broken_syntax_says_where_and_how_to_mend_it() {
    insta::assert_snapshot!(error(
        "models:\n  - name: orders\n    columns: [a, b\n  - name: x\n"
    ));
    insta::assert_snapshot!(error("models:\n\t- name: orders\n"));
    insta::assert_snapshot!(error("a: {{ target.name }}\n"));
    insta::assert_snapshot!(error("a: {{ target.name }}_x\n"));
    insta::assert_snapshot!(error("description: what: a mess\n"));
    insta::assert_snapshot!(error("a: 'open\nb: 1\n"));
    insta::assert_snapshot!(error("a: *nowhere\n"));
    insta::assert_snapshot!(error("a:\n  b: 1\n c: 2\n"));
    insta::assert_snapshot!(error("a: 1\n---\nb: 1\n"));
    insta::assert_snapshot!(error("a: @x\n"));
    insta::assert_snapshot!(error("a: !python/object x\n"));
    insta::assert_snapshot!(error("a: &a\n  b: *a\n"));
}

#[test]
fn of_a_duplicate_key_the_last_value_counts_and_both_places_are_told() {
    let file = SourceFile::inline("models/schema.yml", "models: 1\nsources: 2\nmodels: 3\n");
    let mut warnings = Vec::new();
    let tree = parse_with_warnings(&file, &mut warnings).expect("valid YAML");
    assert_eq!(tree.to_json().to_string(), r#"{"models":3,"sources":2}"#);
    let told: Vec<String> = warnings.iter().map(|w| w.render(false)).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    warning[yaml-syntax]: the key `models` is there twice, and the last one counts
     --> models/schema.yml:3:1
      |
    3 | models: 3
      | ^^^^^^ this one counts
      |
     ::: models/schema.yml:1:1
      |
    1 | models: 1
      | ------ this one is left out
      |
      = help: keep one of the two
    ");
}

#[test]
fn a_wrong_shape_says_what_was_expected() {
    let file = SourceFile::inline("models/schema.yml", "columns:\n  id: 1\nname: 3\nx:\n");
    let root = parse(&file).expect("valid YAML");
    let get = |key: &str| root.get(key).expect("key");
    let errors = [
        get("columns").expect_sequence("`columns`", &file).err(),
        get("name").expect_str("`name`", &file).err(),
        get("x").expect_mapping("`x`", &file).err(),
        get("name").expect_bool("`name`", &file).err(),
    ];
    let text: Vec<String> = errors
        .iter()
        .map(|error| error.as_ref().expect("an error").render(false))
        .collect();
    insta::assert_snapshot!(text.join("\n\n"));
    assert_eq!(
        get("name").expect_scalar("`name`", &file).ok().as_deref(),
        Some("3")
    );
}
